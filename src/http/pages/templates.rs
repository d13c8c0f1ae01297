//! Templates: built in, or replaced one by one from the operator's folder.

use std::path::{Path, PathBuf};

use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior, Value};
use rust_embed::RustEmbed;

use crate::error::Error;
use crate::text;

#[derive(RustEmbed)]
#[folder = "templates/"]
#[include = "*.html"]
struct BuiltIn;

/// All templates, ready to render.
#[derive(Debug)]
pub struct Templates {
    environment: Environment<'static>,
    built_in: bool,
}

impl Templates {
    /// Loads every template and checks its syntax; the error names the file and the line.
    pub fn load(folder: Option<&Path>) -> Result<Self, String> {
        let mut environment = Environment::new();
        environment.set_auto_escape_callback(|_| AutoEscape::Html);
        let mut built_in = true;
        for name in BuiltIn::iter() {
            let source = match replaced(&name, folder)? {
                Some(source) => {
                    built_in = false;
                    source
                }
                None => built_in_source(&name)?,
            };
            environment
                .add_template_owned(name.to_string(), source)
                .map_err(|e| format!("the template {name} cannot be read: {e:#}"))?;
        }
        // What ours ask for they are given. Those of an operator may be of another version.
        environment.set_undefined_behavior(if built_in {
            UndefinedBehavior::Strict
        } else {
            UndefinedBehavior::Lenient
        });
        Ok(Self {
            environment,
            built_in,
        })
    }

    /// Whether the operator replaced none of them, so that we know what they do with a text.
    pub fn are_built_in(&self) -> bool {
        self.built_in
    }

    /// Renders the template `name`.
    pub fn render(&self, name: &str, context: Value) -> Result<String, Error> {
        self.environment
            .get_template(name)
            .and_then(|template| template.render(context))
            .map_err(|e| Error::Internal(Box::new(e)))
    }
}

/// The operator's template of that name.
fn replaced(name: &str, folder: Option<&Path>) -> Result<Option<String>, String> {
    let Some(path) = folder
        .map(|folder| folder.join(name))
        .filter(|path: &PathBuf| path.exists())
    else {
        return Ok(None);
    };
    let bytes = std::fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let text =
        text::utf8(&bytes).map_err(|why| format!("{}:{}: {why}", path.display(), why.line()))?;
    Ok(Some(text.to_owned()))
}

fn built_in_source(name: &str) -> Result<String, String> {
    let file = BuiltIn::get(name)
        .ok_or_else(|| minijinja::Error::from(ErrorKind::TemplateNotFound).to_string())?;
    String::from_utf8(file.data.into_owned()).map_err(|e| format!("the template {name}: {e}"))
}
