//! `/rocks/`: the Prosody module for `prosodyctl install --server=…` and `luarocks --server=…`.
//!
//! The rock is packed from the embedded files when the daemon starts. It is of the kind `all`, so
//! nothing is fetched or built where it is installed. The same at every host.

use std::fmt::Write as _;
use std::io::{Cursor, Write as _};

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use rust_embed::RustEmbed;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// The folder of the Prosody module.
#[derive(RustEmbed)]
#[folder = "prosody/mod_invites_invited/"]
struct Folder;

/// Names of the rock. The second is what documents about Prosody's own module tell people to
/// install; what they get is the same.
const NAMES: [&str; 2] = ["mod_invites_invited", "mod_invites_api"];
/// Version of the rock; the rockspec beside the module has the same.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "-1");

/// A file of the Prosody module.
pub struct ModuleFile {
    /// The module that it belongs to, which is the name of its folder: `mod_invites`.
    pub module: &'static str,
    pub name: String,
    pub content: Vec<u8>,
}

/// Every file that Prosody needs.
pub fn module_files() -> Vec<ModuleFile> {
    let lua = |name: &str| std::path::Path::new(name).extension() == Some("lua".as_ref());
    Folder::iter()
        .filter(|name| lua(name))
        .filter_map(|name| {
            Some(ModuleFile {
                module: match &*name {
                    "mod_invited_tokens.lua" => "mod_invited_tokens",
                    "mod_invites_api.lua" => "mod_invites_api",
                    _ => "mod_invites",
                },
                content: Folder::get(&name)?.data.into_owned(),
                name: name.into_owned(),
            })
        })
        .collect()
}

/// What is served.
#[derive(Debug)]
pub(super) struct Rocks {
    /// Names of files, and what is in them.
    files: Vec<(String, Bytes)>,
    last_modified: HeaderValue,
}

impl Rocks {
    /// Packs the rock; an error is a fault of the build.
    pub(super) fn pack() -> Result<Self, String> {
        let name = format!("{}-{VERSION}.rockspec", NAMES[0]);
        let spec = Folder::get(&name).ok_or_else(|| format!("{name} is not in the program"))?;
        let spec = String::from_utf8_lossy(&spec.data).into_owned();
        let mut files = Vec::new();
        for name in NAMES {
            let spec = spec.replace(NAMES[0], name);
            let name = format!("{name}-{VERSION}");
            let rock = zip(&name, &spec).map_err(|e| format!("{name} cannot be packed: {e}"))?;
            files.push((format!("{name}.rockspec"), spec.into()));
            files.push((format!("{name}.all.rock"), rock.into()));
        }
        files.push(("index.html".into(), index().into()));
        // LuaRocks asks for the manifest of its own version of Lua, an old one for that of none.
        for version in ["", "-5.1", "-5.2", "-5.3", "-5.4"] {
            files.push((format!("manifest{version}"), manifest().into()));
        }
        Ok(Self {
            files,
            last_modified: last_modified()?,
        })
    }

    /// Serves a file by its name.
    pub(super) fn serve(&self, method: &Method, name: &str) -> Response {
        if method != Method::GET && method != Method::HEAD {
            let allow = [(header::ALLOW, "GET, HEAD")];
            return (StatusCode::METHOD_NOT_ALLOWED, allow).into_response();
        }
        let name = if name.is_empty() { "index.html" } else { name };
        let Some((_, content)) = self.files.iter().find(|(known, _)| known == name) else {
            return (StatusCode::NOT_FOUND, "There is no such rock.\n").into_response();
        };
        let content_type = match name.rsplit_once('.') {
            Some((_, "html")) => "text/html; charset=utf-8",
            Some((_, "rock")) => "application/zip",
            _ => "text/plain; charset=utf-8",
        };
        let mut response = Response::new(Body::from(content.clone()));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(header::LAST_MODIFIED, self.last_modified.clone());
        response
    }
}

/// The rock: files below `lua/` land where Lua looks for modules.
fn zip(name: &str, rockspec: &str) -> zip::result::ZipResult<Vec<u8>> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    zip.start_file(format!("{name}.rockspec"), stored)?;
    zip.write_all(rockspec.as_bytes())?;
    for file in module_files() {
        zip.start_file(format!("lua/{}/{}", file.module, file.name), stored)?;
        zip.write_all(&file.content)?;
    }
    Ok(zip.finish()?.into_inner())
}

/// When the newest file was changed: LuaRocks compares it with what it has.
fn last_modified() -> Result<HeaderValue, String> {
    let newest = Folder::iter()
        .filter_map(|name| Folder::get(&name)?.metadata.last_modified())
        .max()
        .unwrap_or_default();
    let date = i64::try_from(newest)
        .ok()
        .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
        .and_then(|moment| {
            jiff::fmt::rfc2822::DateTimePrinter::new()
                .timestamp_to_rfc9110_string(&moment)
                .ok()
        });
    date.and_then(|date| HeaderValue::try_from(date).ok())
        .ok_or_else(|| format!("{newest} is no date of a file"))
}

/// What LuaRocks looks into first: which rocks there are.
fn manifest() -> String {
    let mut text = String::from("commands = {}\nmodules = {}\nrepository = {\n");
    for name in NAMES {
        let _ = writeln!(
            text,
            "   {name} = {{ [\"{VERSION}\"] = {{ {{ arch = \"all\" }} }} }},"
        );
    }
    text + "}\n"
}

/// The page for people.
fn index() -> String {
    let mut text = String::from(
        "<!doctype html>\n<html lang=\"en\">\n<title>Rocks for Prosody</title>\n<h1>Rocks for Prosody</h1>\n<ul>\n",
    );
    for name in NAMES {
        let _ = writeln!(
            text,
            "<li>{name} {VERSION}: <a href=\"{name}-{VERSION}.all.rock\">rock</a>, \
             <a href=\"{name}-{VERSION}.rockspec\">rockspec</a>"
        );
    }
    let _ = writeln!(
        text,
        "</ul>\n<p>Install one with <code>prosodyctl install --server=ADDRESS_OF_THIS_PAGE {}</code>.</p>\n</html>",
        NAMES[0]
    );
    text
}
