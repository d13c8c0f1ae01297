//! One function for each operation of `docs/bridge.md`: form in, app, form out.

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use serde_json::{Map, Value, json};

use crate::app::{App, By, Known, NewKey, Wanted};
use crate::config::Host;
use crate::error::Error;
use crate::http::compat::invites_api;
use crate::invite::{Details, Invite, InviteId, Kind, Lifetime, NewInvite, State};
use crate::jid::Localpart;
use crate::registration::RegistrationId;
use crate::store::ListInvites;
use crate::token::InviteToken;

/// Most invites on one page of `pending`, and users on one of `creators`.
const PAGE: usize = 500;

/// The fields of a question, and the host that it is about.
pub(super) struct Question<'a> {
    app: &'a App,
    host: &'a Host,
    fields: &'a Map<String, Value>,
}

type Answer = Result<Value, Error>;

impl<'a> Question<'a> {
    /// Every question names its host.
    pub(super) fn new(app: &'a App, fields: &'a Map<String, Value>) -> Result<Self, Error> {
        let name = fields
            .get("host")
            .and_then(Value::as_str)
            .ok_or_else(|| Error::invalid("host", "a text is expected"))?;
        Ok(Self {
            app,
            host: app.config.host(name)?,
            fields,
        })
    }

    /// The XMPP host that it is about.
    pub(super) fn host(&self) -> &'a str {
        self.host.domain.as_str()
    }

    pub(super) async fn health(&self) -> Answer {
        self.app.store.check().await?;
        Ok(json!({}))
    }

    pub(super) async fn create(&self) -> Answer {
        let token: InviteToken = self
            .text("token")?
            .parse()
            .map_err(|e: crate::token::NotAToken| Error::invalid("token", e.to_string()))?;
        let mut new = self.new_invite()?;
        new.token = Some(token);
        let created = self.app.create_invite(self.host, new, By::Server).await?;
        Ok(self.invite(&created.invite, &created.token))
    }

    fn new_invite(&self) -> Result<NewInvite, Error> {
        let mut details = self
            .maybe_object("additional_data")?
            .cloned()
            .unwrap_or_default();
        let reset = details.remove("allow_reset");
        let reset = match &reset {
            None => None,
            Some(Value::String(name)) => Some(name.as_str()),
            Some(_) => {
                return Err(Error::invalid(
                    "additional_data.allow_reset",
                    "a text is expected",
                ));
            }
        };
        let kind = match (self.text("type")?, reset) {
            ("register", Some(_)) => Kind::Reset,
            ("register", None) => Kind::Account,
            ("roster", _) => Kind::Contact,
            _ => return Err(Error::invalid("type", "it is \"register\" or \"roster\"")),
        };
        let localpart = match kind {
            Kind::Account => self.maybe_name("username")?,
            Kind::Contact => self.maybe_name("inviter")?,
            Kind::Reset => reset
                .map(|name| name_from("additional_data.allow_reset", name))
                .transpose()?,
        };
        Ok(NewInvite {
            kind,
            localpart,
            allow_registration: kind != Kind::Contact || self.flag("allow_registration")?,
            max_uses: if self.flag("reusable")? {
                None
            } else {
                Some(1)
            },
            lifetime: self
                .maybe_int("ttl")?
                .map_or(Lifetime::Default, Lifetime::Seconds),
            landing_url: self.maybe_text("landing_page")?.map(str::to_owned),
            token: None,
            details: details_from(details)?,
        })
    }

    pub(super) async fn look_up(&self) -> Answer {
        let (invite, token) = self.app.look_up(self.host, self.text("token")?).await?;
        Ok(self.invite(&invite, &token))
    }

    pub(super) async fn reserve(&self) -> Answer {
        let holder = self.text("holder")?;
        if holder.is_empty() || holder.len() > 128 {
            return Err(Error::invalid("holder", "it has 1 to 128 characters"));
        }
        let id = self
            .app
            .reserve(
                self.host,
                self.text("token")?,
                self.text("username")?,
                holder,
            )
            .await?;
        Ok(json!({"reservation": id.to_string()}))
    }

    pub(super) async fn claim_contact(&self) -> Answer {
        let (invite, token, id) = self
            .app
            .claim_contact(self.host, self.text("token")?, self.text("username")?)
            .await?;
        let mut answer = self.invite(&invite, &token);
        answer["reservation"] = json!(id.to_string());
        Ok(answer)
    }

    pub(super) async fn confirm(&self) -> Answer {
        self.app.confirm(self.host, self.reservation()?).await?;
        Ok(json!({}))
    }

    pub(super) async fn release(&self) -> Answer {
        self.app.release(self.host, self.reservation()?).await?;
        Ok(json!({}))
    }

    pub(super) async fn open(&self) -> Answer {
        let min_age = self.maybe_int("min_age")?.unwrap_or(0).clamp(0, 86_400);
        let now = self.app.clock.now();
        let open = self
            .app
            .store
            .list_open(&self.host.domain, min_age, now)
            .await?;
        let reservations: Vec<Value> = open
            .iter()
            .map(|open| {
                json!({
                    "reservation": open.id.to_string(),
                    "username": open.localpart.as_str(),
                    "kind": open.kind.as_str(),
                    "age": open.age,
                })
            })
            .collect();
        Ok(json!({ "reservations": reservations }))
    }

    pub(super) async fn check_name(&self) -> Answer {
        self.app
            .check_name(self.host, self.text("username")?)
            .await?;
        Ok(json!({}))
    }

    pub(super) async fn pending(&self) -> Answer {
        let after = match self.maybe_text("after")? {
            Some(text) => Some(
                text.parse::<InviteId>()
                    .map_err(|_| Error::invalid("after", "it is the `next` of the page before"))?,
            ),
            None => None,
        };
        let which = ListInvites {
            registering: true,
            state: Some(State::Open),
            after,
            limit: PAGE,
            ..ListInvites::default()
        };
        let page = self.app.list_invites(self.host, &which).await?;
        let mut answer = json!({
            "invites": page.invites
                .iter()
                .filter_map(|invite| Some(self.invite(invite, &self.app.token_of(invite)?)))
                .collect::<Vec<_>>(),
        });
        if let Some(next) = page.next {
            answer["next"] = json!(next.to_string());
        }
        Ok(answer)
    }

    /// A request for `/invites_api` at Prosody's own port.
    pub(super) async fn api_create(&self) -> Answer {
        let method = Method::from_bytes(self.text("method")?.as_bytes())
            .map_err(|e| Error::invalid("method", e.to_string()))?;
        let mut headers = HeaderMap::new();
        for (field, name) in [
            ("authorization", header::AUTHORIZATION),
            ("purpose", HeaderName::from_static("sec-purpose")),
        ] {
            if let Some(text) = self.maybe_text(field)? {
                let value = HeaderValue::from_str(text)
                    .map_err(|e| Error::invalid(field, e.to_string()))?;
                headers.insert(name, value);
            }
        }
        let query = self.maybe_text("query")?.unwrap_or_default();
        let (status, location) =
            invites_api::create(self.app, self.host, &method, query, &headers).await?;
        let location = location
            .to_str()
            .map_err(|e| Error::Internal(Box::new(e)))?;
        Ok(json!({"status": status.as_u16(), "location": location}))
    }

    pub(super) async fn creators(&self) -> Answer {
        let after = self.maybe_text("after")?.unwrap_or_default();
        let now = self.app.clock.now();
        let users = self
            .app
            .store
            .creators(&self.host.domain, after, PAGE, now)
            .await?;
        let users: Vec<&str> = users.iter().map(Localpart::as_str).collect();
        let mut answer = json!({ "users": users });
        if let (PAGE.., Some(last)) = (users.len(), users.last()) {
            answer["next"] = json!(last);
        }
        Ok(answer)
    }

    /// Waits until there is something that the server should say.
    pub(super) async fn next_questions(&self) -> Answer {
        let questions = self.app.next_questions(self.host).await?;
        Ok(json!({ "questions": questions }))
    }

    pub(super) fn take_answer(&self) -> Answer {
        let id = self.text("id")?;
        let mut known = Known::default();
        if let Some(accounts) = self.maybe_object("accounts")? {
            let accounts = Value::Object(accounts.clone());
            known.accounts = serde_json::from_value(accounts)
                .map_err(|e| Error::invalid("accounts", e.to_string()))?;
        }
        known.roles = self.maybe_texts("roles")?;
        known.groups = self.maybe_texts("groups")?;
        self.app.take_answer(self.host, id, known);
        Ok(json!({}))
    }

    /// The command line asks, which no server is connected to.
    pub(super) async fn ask_server(&self) -> Answer {
        let wanted: Wanted = serde_json::from_value(Value::Object(self.fields.clone()))
            .map_err(|e| Error::invalid("accounts", e.to_string()))?;
        Ok(json!(self.app.ask_server(self.host, wanted).await))
    }

    pub(super) async fn key_create(&self) -> Answer {
        let new = NewKey {
            name: self.maybe_text("name")?.map(str::to_owned),
            ..NewKey::default()
        };
        let key = self.app.create_key(self.host, new).await?;
        Ok(json!({"key": key.full_text()}))
    }

    pub(super) async fn key_list(&self) -> Answer {
        let keys = self.app.store.list_keys(&self.host.domain).await?;
        let keys: Vec<Value> = keys
            .into_iter()
            .map(|key| match key.name {
                Some(name) => json!({"id": key.id, "name": name}),
                None => json!({"id": key.id}),
            })
            .collect();
        Ok(json!({ "keys": keys }))
    }

    pub(super) async fn key_delete(&self) -> Answer {
        self.app.delete_key(self.host, self.text("id")?).await?;
        Ok(json!({}))
    }

    pub(super) async fn revoke_all(&self) -> Answer {
        let user = name_from("username", self.text("username")?)?;
        let revoked = self.app.revoke_invites_of(self.host, &user).await?;
        Ok(json!({ "revoked": revoked }))
    }

    pub(super) async fn revoke(&self) -> Answer {
        let Ok(token) = self.text("token")?.parse() else {
            return Ok(json!({}));
        };
        match self.app.find_invite(self.host, &token).await {
            Ok(invite) => {
                self.app.revoke_invite(self.host, &invite).await?;
                Ok(json!({}))
            }
            Err(Error::InviteUnknown) => Ok(json!({})),
            Err(other) => Err(other),
        }
    }

    /// An invite in Prosody's terms. Absent values are left out: Prosody reads a JSON null as
    /// something that is there.
    fn invite(&self, invite: &Invite, token: &InviteToken) -> Value {
        let host = &self.host.domain;
        let name = invite.localpart.as_ref().map(Localpart::as_str);
        let mut data = json!(invite.details);
        if invite.kind == Kind::Reset {
            data["allow_reset"] = json!(name);
        }
        let mut answer = json!({
            "id": invite.id.to_string(),
            "type": if invite.kind == Kind::Contact { "roster" } else { "register" },
            "kind": invite.kind.as_str(),
            "jid": name.map_or_else(|| host.to_string(), |name| format!("{name}@{host}")),
            "token": token.expose(),
            "uri": self.app.uri(invite, token),
            "landing_page": self.app.landing_url(self.host, invite, token),
            "allow_registration": invite.allow_registration,
            "reusable": invite.max_uses != Some(1),
            "uses": invite.uses,
            "created_at": invite.created_at.0,
            "additional_data": data,
        });
        let optional = [
            (
                "username",
                invite.fixed_name().map(|name| json!(name.as_str())),
            ),
            ("inviter", invite.inviter().map(|name| json!(name.as_str()))),
            ("max_uses", invite.max_uses.map(|max| json!(max))),
            ("expires", invite.expires_at.map(|end| json!(end.0))),
        ];
        for (key, value) in optional {
            if let Some(value) = value {
                answer[key] = value;
            }
        }
        answer
    }

    fn reservation(&self) -> Result<RegistrationId, Error> {
        self.text("reservation")?
            .parse()
            .map_err(|_| Error::invalid("reservation", "it is what `reserve` answered"))
    }

    fn text(&self, field: &'static str) -> Result<&'a str, Error> {
        self.maybe_text(field)?
            .ok_or_else(|| Error::invalid(field, "a text is expected"))
    }

    fn maybe_text(&self, field: &'static str) -> Result<Option<&'a str>, Error> {
        match self.fields.get(field) {
            None => Ok(None),
            Some(Value::String(text)) if text.len() <= 2048 => Ok(Some(text)),
            Some(Value::String(_)) => Err(Error::invalid(field, "it is too long")),
            Some(_) => Err(Error::invalid(field, "a text is expected")),
        }
    }

    fn maybe_name(&self, field: &'static str) -> Result<Option<Localpart>, Error> {
        self.maybe_text(field)?
            .map(|text| name_from(field, text))
            .transpose()
    }

    fn maybe_int(&self, field: &'static str) -> Result<Option<i64>, Error> {
        match self.fields.get(field) {
            None => Ok(None),
            // Lua may write a whole number as 60.0.
            Some(Value::Number(number)) => number
                .as_i64()
                .or_else(|| number.to_string().strip_suffix(".0")?.parse().ok())
                .map(Some)
                .ok_or_else(|| Error::invalid(field, "a whole number is expected")),
            Some(_) => Err(Error::invalid(field, "a whole number is expected")),
        }
    }

    fn flag(&self, field: &'static str) -> Result<bool, Error> {
        match self.fields.get(field) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(Error::invalid(field, "true or false is expected")),
        }
    }

    fn maybe_texts(&self, field: &'static str) -> Result<Option<Vec<String>>, Error> {
        match self.fields.get(field) {
            None => Ok(None),
            // Lua's empty table is written as either.
            Some(Value::Object(map)) if map.is_empty() => Ok(Some(Vec::new())),
            Some(list) => serde_json::from_value(list.clone())
                .map_err(|_| Error::invalid(field, "a list of texts is expected")),
        }
    }

    fn maybe_object(&self, field: &'static str) -> Result<Option<&'a Map<String, Value>>, Error> {
        match self.fields.get(field) {
            None => Ok(None),
            // Lua's empty table is written as either.
            Some(Value::Array(list)) if list.is_empty() => Ok(None),
            Some(Value::Object(map)) => Ok(Some(map)),
            Some(_) => Err(Error::invalid(field, "an object is expected")),
        }
    }
}

fn name_from(field: &'static str, text: &str) -> Result<Localpart, Error> {
    text.parse()
        .map_err(|why: crate::jid::ParseError| Error::invalid(field, format!("this name {why}")))
}

/// `roles` may be a list (13) or a map of names to true (0.12); either may be an empty object.
fn details_from(mut map: Map<String, Value>) -> Result<Details, Error> {
    for field in ["roles", "groups"] {
        if let Some(Value::Object(names)) = map.get(field) {
            let list = names
                .iter()
                .filter(|(_, on)| **on == Value::Bool(true))
                .map(|(name, _)| json!(name));
            let list = list.collect();
            map.insert(field.into(), Value::Array(list));
        }
    }
    serde_json::from_value(Value::Object(map))
        .map_err(|e| Error::invalid("additional_data", e.to_string()))
}
