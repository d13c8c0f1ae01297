//! The list of apps: built in, extended or replaced by the operator, ordered for the visitor.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::config::Host;
use crate::http::assets;
use crate::text;
use crate::uri::percent_encoded;

/// The file of apps.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    app: Vec<App>,
}

/// One app, as `assets/apps.toml` describes it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct App {
    pub id: String,
    pub name: String,
    #[serde(default)]
    pub text: String,
    #[serde(default)]
    pub platforms: Vec<String>,
    /// Whether it opens the invite's `xmpp:` URI.
    #[serde(default)]
    pub supports_preauth_uri: bool,
    pub link: String,
    pub image: Option<String>,
    /// Store page that hands the invite on to the app; `{uri}` is the invite.
    pub magic_link_format: Option<String>,
    /// How to sign in with an account made on the page.
    pub login_text: Option<String>,
    #[serde(default)]
    pub download: Download,
    #[serde(default)]
    pub setup: Setup,
}

/// Where to get an app.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Download {
    #[serde(default)]
    pub text: String,
    #[serde(default)]
    pub buttons: Vec<Button>,
}

/// One place to get an app.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Button {
    pub text: String,
    pub url: String,
    pub magic_link_format: Option<String>,
}

/// What to do after installing.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setup {
    #[serde(default)]
    pub text: String,
}

/// An app as a template sees it, for one invite.
#[derive(Debug, Clone, Serialize)]
pub struct AppView {
    pub id: String,
    pub name: String,
    pub text: String,
    pub platforms: Vec<String>,
    pub image: Option<String>,
    pub link: String,
    pub supports_preauth_uri: bool,
    pub proceed_url: String,
    pub proceed_kind: &'static str,
    pub setup_url: Option<String>,
    pub download: DownloadView,
    pub setup_text: String,
    pub login_text: Option<String>,
}

/// Where to get an app, for one invite.
#[derive(Debug, Clone, Serialize)]
pub struct DownloadView {
    pub text: String,
    pub buttons: Vec<ButtonView>,
}

/// One place to get an app, for one invite.
#[derive(Debug, Clone, Serialize)]
pub struct ButtonView {
    pub text: String,
    pub url: String,
}

/// The addresses that an app's next step may lead to.
#[derive(Debug)]
pub struct Targets<'a> {
    /// The invite, for stores that hand it on to the app; absent if it is not for a new account.
    pub uri: Option<&'a str>,
    pub token: &'a str,
    /// Begins all addresses of pages.
    pub base: &'a str,
    pub invites_page: &'a str,
    /// Absent if nobody can register on the page.
    pub register: Option<&'a str>,
    pub assets: &'a str,
}

impl App {
    /// What the visitor sees of the app. The next step is the store if it hands the invite on,
    /// else registration on the page if the app does not open the URI, else the set-up page, which
    /// is there for everybody: whoever has no such store finds other ways there.
    pub fn view(&self, to: &Targets<'_>) -> AppView {
        let uri = to.uri.map(percent_encoded);
        let magic =
            |format: &Option<String>| Some(format.as_ref()?.replace("{uri}", uri.as_ref()?));
        let set_up = format!(
            "{}{}/setup/{}?{}",
            to.base, to.invites_page, self.id, to.token
        );
        let (proceed_kind, proceed_url) = match (magic(&self.magic_link_format), to.register) {
            (Some(store), _) => ("store", store),
            (None, Some(register)) if !self.supports_preauth_uri => (
                "register",
                format!("{}{register}?t={}&c={}", to.base, to.token, self.id),
            ),
            _ => ("setup", set_up.clone()),
        };
        let buttons = self.download.buttons.iter().map(|button| ButtonView {
            text: button.text.clone(),
            url: magic(&button.magic_link_format).unwrap_or_else(|| button.url.clone()),
        });
        let image = self.image.as_ref().map(|image| {
            if image.starts_with("https://") {
                image.clone()
            } else {
                format!("{}{image}", to.assets)
            }
        });
        AppView {
            id: self.id.clone(),
            name: self.name.clone(),
            text: self.text.clone(),
            platforms: self.platforms.clone(),
            image,
            link: self.link.clone(),
            supports_preauth_uri: self.supports_preauth_uri,
            proceed_url,
            proceed_kind,
            setup_url: Some(set_up),
            download: DownloadView {
                text: self.download.text.clone(),
                buttons: buttons.collect(),
            },
            setup_text: self.setup.text.clone(),
            login_text: self.login_text.clone(),
        }
    }
}

/// The apps of a host, in the order of preference. The error names the operator's file.
pub fn load(host: &Host) -> Result<Vec<App>, String> {
    let mut apps = parse(assets::APPS).map_err(|e| format!("the built-in list of apps: {e}"))?;
    if let Some(path) = &host.site_apps_file {
        for app in read(path)? {
            match apps.iter_mut().find(|known| known.id == app.id) {
                Some(known) => *known = app,
                None => apps.push(app),
            }
        }
    }
    if let Some(show) = &host.site_apps_show {
        let find = |id: &String| {
            apps.iter()
                .find(|app| app.id == *id)
                .cloned()
                .ok_or_else(|| format!("site_apps_show: there is no app {id:?}"))
        };
        apps = show.iter().map(find).collect::<Result<_, _>>()?;
    }
    apps.retain(|app| !host.site_apps_hide.contains(&app.id));
    Ok(apps)
}

fn read(path: &Path) -> Result<Vec<App>, String> {
    let bytes = std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let text =
        text::utf8(&bytes).map_err(|why| format!("{}:{}: {why}", path.display(), why.line()))?;
    parse(text).map_err(|e| format!("{}: {}", path.display(), e.to_string().trim()))
}

fn parse(text: &str) -> Result<Vec<App>, toml::de::Error> {
    Ok(toml::from_str::<File>(text)?.app)
}

/// The visitor's platform, as far as the browser tells.
pub fn platform(user_agent: &str) -> &'static str {
    let agent = user_agent.to_ascii_lowercase();
    let has = |word: &str| agent.contains(word);
    // Order matters: Android calls itself Linux, and iPhones mention Mac OS X.
    if has("android") {
        "android"
    } else if has("iphone") || has("ipad") || has("ipod") {
        "ios"
    } else if has("windows") {
        "windows"
    } else if has("mac os x") || has("macintosh") {
        "macos"
    } else if has("haiku") {
        "haiku"
    } else if has("linux") || has("x11") || has("cros") {
        "linux"
    } else {
        "other"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_list_reads_and_its_ids_are_unique() {
        let apps = parse(assets::APPS).expect("the list reads");
        let mut ids: Vec<_> = apps.iter().map(|app| app.id.as_str()).collect();
        assert!(ids.len() >= 10, "{ids:?}");
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), apps.len());
    }

    #[test]
    fn platforms_are_told_apart() {
        for (agent, expected) in [
            ("Mozilla/5.0 (Linux; Android 15; Pixel)", "android"),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X)",
                "ios",
            ),
            ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)", "macos"),
            ("Mozilla/5.0 (Windows NT 10.0; Win64)", "windows"),
            ("Mozilla/5.0 (X11; Linux x86_64)", "linux"),
            ("curl/8", "other"),
        ] {
            assert_eq!(platform(agent), expected, "{agent}");
        }
    }
}
