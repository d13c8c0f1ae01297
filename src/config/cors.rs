//! Which web pages elsewhere may read our answers: Prosody's options (`mod_http`), as 13 reads
//! them. 0.12 puts `access_control_allow_origins` into the wrong variable, so it does nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, de};

/// Options that may stand at the top or in a host, where they win.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Whether apps that [`Options::http_cors_override`] does not name take part.
    pub http_default_cors_enabled: Option<bool>,
    /// What is different for one app.
    pub http_cors_override: Option<BTreeMap<App, Override>>,
    /// Methods that other pages may use; those of the app are added.
    pub access_control_allow_methods: Option<Vec<Word>>,
    /// Headers that other pages may send.
    pub access_control_allow_headers: Option<Vec<Word>>,
    /// Origins of the pages that may read.
    pub access_control_allow_origins: Option<Origins>,
    /// Whether browsers may send cookies and passwords along.
    pub access_control_allow_credentials: Option<bool>,
    /// Seconds that a browser may remember all this.
    pub access_control_max_age: Option<u32>,
}

impl Options {
    /// The names of all its options.
    pub const KEYS: &[&str] = &[
        "http_default_cors_enabled",
        "http_cors_override",
        "access_control_allow_methods",
        "access_control_allow_headers",
        "access_control_allow_origins",
        "access_control_allow_credentials",
        "access_control_max_age",
    ];

    /// These options, and those of `global` where these say nothing. Overrides count app by app.
    #[must_use]
    pub fn or(self, global: &Self) -> Self {
        let global = global.clone();
        let mut overrides = global.http_cors_override.unwrap_or_default();
        overrides.extend(self.http_cors_override.unwrap_or_default());
        Self {
            http_default_cors_enabled: self
                .http_default_cors_enabled
                .or(global.http_default_cors_enabled),
            http_cors_override: Some(overrides),
            access_control_allow_methods: self
                .access_control_allow_methods
                .or(global.access_control_allow_methods),
            access_control_allow_headers: self
                .access_control_allow_headers
                .or(global.access_control_allow_headers),
            access_control_allow_origins: self
                .access_control_allow_origins
                .or(global.access_control_allow_origins),
            access_control_allow_credentials: self
                .access_control_allow_credentials
                .or(global.access_control_allow_credentials),
            access_control_max_age: self
                .access_control_max_age
                .or(global.access_control_max_age),
        }
    }

    /// What holds for `app`; `None` if no other page may read its answers.
    pub fn of(&self, app: App) -> Option<Cors> {
        let special = self
            .http_cors_override
            .as_ref()
            .and_then(|overrides| overrides.get(&app));
        let enabled = match special {
            Some(special) => special.enabled,
            // Web clients turn the address of an invite into its URI by a header of the page.
            None if app == App::InvitesPage => true,
            None => self.http_default_cors_enabled.unwrap_or(true),
        };
        if !enabled {
            return None;
        }
        let words = |words: &Option<Vec<Word>>, default: &[&str]| match words {
            Some(words) => words.iter().map(|word| word.0.clone()).collect(),
            None => default.iter().map(ToString::to_string).collect::<Vec<_>>(),
        };
        let mut methods = words(&self.access_control_allow_methods, &["OPTIONS", "GET"]);
        for method in app.methods() {
            if !methods.iter().any(|known| known == method) {
                methods.push((*method).to_owned());
            }
        }
        let mut headers = words(&self.access_control_allow_headers, &["Content-Type"]);
        for (name, &wanted) in special.iter().flat_map(|special| &special.headers) {
            headers.retain(|known| !known.eq_ignore_ascii_case(&name.0));
            if wanted {
                headers.push(name.0.clone());
            }
        }
        let origins = match (special.and_then(|s| s.origins.clone()), app) {
            (Some(origins), _) => origins,
            (None, App::InvitesPage) if special.is_none() => Origins::Any,
            (None, _) => self
                .access_control_allow_origins
                .clone()
                .unwrap_or(Origins::Any),
        };
        Some(Cors {
            methods,
            headers,
            origins,
            credentials: special
                .and_then(|special| special.credentials)
                .or(self.access_control_allow_credentials)
                .unwrap_or(false),
            max_age: self.access_control_max_age.unwrap_or(2 * 60 * 60),
        })
    }
}

/// What pages elsewhere may do with one app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cors {
    pub methods: Vec<String>,
    pub headers: Vec<String>,
    pub origins: Origins,
    pub credentials: bool,
    /// Seconds.
    pub max_age: u32,
}

/// A page or an API, under the name of the Prosody module that has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum App {
    AdminApi,
    /// Our own API, which Prosody does not have.
    Api,
    InvitesApi,
    InvitesPage,
    InvitesRegisterApi,
    #[serde(alias = "invites_register_web")]
    Register,
    RegisterApps,
}

impl App {
    pub const ALL: [Self; 7] = [
        Self::AdminApi,
        Self::Api,
        Self::InvitesApi,
        Self::InvitesPage,
        Self::InvitesRegisterApi,
        Self::Register,
        Self::RegisterApps,
    ];

    /// The methods of its addresses, beside `OPTIONS`.
    fn methods(self) -> &'static [&'static str] {
        match self {
            Self::AdminApi | Self::InvitesRegisterApi => &["GET", "POST", "DELETE"],
            Self::Api => &["GET", "POST", "PATCH", "PUT", "DELETE"],
            // POST needs no mention: browsers may always send it (Fetch §3.3.6).
            Self::InvitesApi | Self::InvitesPage | Self::RegisterApps => &["GET"],
            Self::Register => &["GET", "POST"],
        }
    }
}

/// An entry of `http_cors_override`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Override {
    #[serde(default = "yes")]
    pub enabled: bool,
    pub credentials: Option<bool>,
    /// Headers to add or, with `false`, to take away.
    #[serde(default)]
    pub headers: BTreeMap<Word, bool>,
    pub origins: Option<Origins>,
}

fn yes() -> bool {
    true
}

/// Origins of web pages: `*`, or some.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origins {
    Any,
    Only(Vec<String>),
}

impl<'de> Deserialize<'de> for Origins {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Origins;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("\"*\" or a list such as [\"https://example.com\"]")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Origins, E> {
                if text == "*" {
                    Ok(Origins::Any)
                } else {
                    Ok(Origins::Only(vec![origin(text)?]))
                }
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Origins, A::Error> {
                let mut origins = Vec::new();
                let mut any = false;
                while let Some(text) = list.next_element::<String>()? {
                    if text == "*" {
                        any = true;
                    } else {
                        origins.push(origin(&text)?);
                    }
                }
                // Prosody takes an empty list for no list.
                Ok(if any || origins.is_empty() {
                    Origins::Any
                } else {
                    Origins::Only(origins)
                })
            }
        }
        from.deserialize_any(Visitor)
    }
}

/// An origin as browsers write it (RFC 6454 §6.2).
fn origin<E: de::Error>(text: &str) -> Result<String, E> {
    let name = text.split_once("://").map(|(_, name)| name);
    let good = name.is_some_and(|name| !name.is_empty() && !name.contains(['/', '?', '#', ' ']));
    let url = url::Url::parse(text).ok().filter(|_| good);
    match url.map(|url| url.origin()) {
        Some(origin @ url::Origin::Tuple(..)) => Ok(origin.ascii_serialization()),
        // Of an app or an extension of a browser.
        _ if good => Ok(text.to_ascii_lowercase()),
        _ => Err(E::custom(format!(
            "{text:?} is not an origin; write for instance \"https://example.com\", without a slash at the end"
        ))),
    }
}

/// The name of a method or a header.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Word(pub String);

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        // Methods and names of headers are made of the same letters (RFC 9110 §5.6.2).
        match ::http::Method::from_bytes(text.as_bytes()) {
            Ok(_) => Ok(Self(text)),
            Err(_) => Err(de::Error::custom(format!(
                "{text:?} is not the name of a method or a header"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn cors(text: &str, app: App) -> Option<Cors> {
        let options: Options = toml::from_str(text).expect("good options");
        options.of(app)
    }

    #[test]
    fn by_default_every_page_may_read() {
        let cors = cors("", App::InvitesApi).expect("it is on");
        assert_eq!(cors.methods, ["OPTIONS", "GET"]);
        assert_eq!(cors.headers, ["Content-Type"]);
        assert_eq!(cors.origins, Origins::Any);
        assert_eq!((cors.credentials, cors.max_age), (false, 7200));
    }

    #[test]
    fn what_is_off_by_default_is_on_for_the_landing_page_and_overridden_apps() {
        let text = "http_default_cors_enabled = false\n[http_cors_override.admin_api]\n";
        assert_eq!(cors(text, App::InvitesApi), None);
        assert!(cors(text, App::InvitesPage).is_some());
        assert!(cors(text, App::AdminApi).is_some());
        let text = "http_cors_override.invites_page.enabled = false";
        assert_eq!(cors(text, App::InvitesPage), None);
    }

    #[test]
    fn an_override_adds_and_takes_away_headers() {
        let text = "[http_cors_override.admin_api]\nheaders = { Authorization = true, content-type = false }";
        let cors = cors(text, App::AdminApi).expect("it is on");
        assert_eq!(cors.headers, ["Authorization"]);
    }

    #[test]
    fn methods_of_the_app_are_added_to_the_written_ones() {
        let text = "access_control_allow_methods = [\"OPTIONS\", \"PROPFIND\"]";
        let cors = cors(text, App::Register).expect("it is on");
        assert_eq!(cors.methods, ["OPTIONS", "PROPFIND", "GET", "POST"]);
    }

    #[test]
    fn an_origin_is_what_browsers_make_of_it() {
        for (text, sent) in [
            ("https://A.example", "https://a.example"),
            ("https://a.example:443", "https://a.example"),
            ("https://bücher.example", "https://xn--bcher-kva.example"),
            ("capacitor://localhost", "capacitor://localhost"),
        ] {
            let text = format!("access_control_allow_origins = \"{text}\"\n");
            let origins = cors(&text, App::AdminApi).map(|cors| cors.origins);
            assert_eq!(origins, Some(Origins::Only(vec![sent.into()])));
        }
    }

    #[test]
    fn origins_of_an_app_replace_the_general_ones() {
        let text = "access_control_allow_origins = [\"https://a.example\"]\n\
                    http_cors_override.admin_api.origins = \"*\"\n\
                    http_cors_override.register.credentials = true\n";
        let only = Origins::Only(vec!["https://a.example".into()]);
        let origins = |app| cors(text, app).expect("it is on").origins;
        assert_eq!(origins(App::InvitesApi), only);
        assert_eq!(origins(App::Register), only);
        assert_eq!(origins(App::AdminApi), Origins::Any);
        assert_eq!(origins(App::InvitesPage), Origins::Any);
    }
}
