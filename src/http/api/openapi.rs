//! The `OpenAPI` document: what the operations say of themselves, and what they have in common.

use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};
use utoipa::openapi::{InfoBuilder, OpenApi, OpenApiBuilder};

use super::{Answer, PREFIX, answer, operations};
use crate::http::Site;

/// The document, as `invited openapi` prints it.
pub fn document() -> Value {
    let info = InfoBuilder::new()
        .title("invited")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(env!("CARGO_PKG_DESCRIPTION")));
    let whole = OpenApiBuilder::new().info(info).build();
    let operations: OpenApi = operations().into_openapi();
    let mut document = json!(whole.nest(PREFIX, operations));
    complete(&mut document);
    document
}

/// Adds what all operations share: the key, and what refusals look like.
fn complete(document: &mut Value) {
    document["components"]["securitySchemes"]["key"] = json!({
        "type": "http",
        "scheme": "bearer",
        "description": "An API key, `ID/SECRET`",
    });
    document["security"] = json!([{"key": []}]);
    document["components"]["schemas"]["Problem"] = json!({
        "type": "object",
        "description": "Why the request was refused (RFC 9457)",
        "required": ["type", "title", "status", "code", "detail"],
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "code": {"type": "string", "description": "Stable, for programs"},
            "detail": {"type": "string", "description": "A sentence for people"},
            "field": {"type": "string", "description": "The field that was refused"},
            "item": {"type": "integer", "description": "Its place in the list, from 1"},
        },
    });
    let refusal = |description: &str| {
        json!({
            "description": description,
            "content": {
                "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}},
            },
        })
    };
    let paths = document["paths"].as_object_mut().into_iter().flatten();
    for (_, path) in paths {
        for (_, operation) in path.as_object_mut().into_iter().flatten() {
            // No body at all stands for an object without fields.
            if let Some(body) = operation.get_mut("requestBody") {
                body["required"] = json!(body["content"].get("text/csv").is_some());
            }
            operation["responses"]["4XX"] = refusal("The request was refused");
            operation["responses"]["5XX"] = refusal("Something went wrong on our side");
        }
    }
}

/// This document. Needs no key.
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "about",
    operation_id = "openapi",
    security(()),
    responses((status = 200, body = Object)),
)]
pub(super) async fn serve(State(site): State<Site>) -> Answer {
    let mut document = document();
    document["servers"] = json!([{ "url": site.host().base_url }]);
    answer(StatusCode::OK, &document)
}
