//! Makes, finds and takes back invites.

use super::keys::AcceptedKey;
use super::questions::Wanted;
use super::{App, rights};
use crate::clock::Timestamp;
use crate::config::Host;
use crate::config::file::Usernames;
use crate::error::Error;
use crate::invite::{Details, Invite, InviteId, Kind, Lifetime, NewInvite, State};
use crate::jid::{BareJid, Localpart};
use crate::store::{self, CreatedBy, Creation, InvitePage, ListInvites, Request};
use crate::token::{InviteToken, OUR_LENGTH, TokenHash};
use crate::{secret, uri};

/// Who makes an invite.
#[derive(Debug, Clone, Copy)]
pub enum By<'a> {
    /// A script or website with an API key.
    Key(&'a AcceptedKey),
    /// The operator.
    Operator,
    /// An XMPP server, which chooses every token itself.
    Server,
}

/// An invite just made, or made before by the same request.
#[derive(Debug)]
pub struct Created {
    pub invite: Invite,
    pub token: InviteToken,
    /// What its maker should hear: what the XMPP server did not say, or says of the account.
    pub doubts: Vec<String>,
}

/// What a client says of a request that it may send again.
#[derive(Debug, Clone)]
pub struct RepeatKey {
    /// The client's name for the request (`Idempotency-Key`).
    pub key: String,
    /// Hash of what is asked, to notice another request under the same name.
    pub fingerprint: [u8; 32],
}

/// How a person names an invite.
#[derive(Debug, Clone)]
pub enum FindBy {
    /// And the text itself, which may be a token of that form.
    Id(InviteId, String),
    Token(InviteToken),
}

impl std::str::FromStr for FindBy {
    type Err = Error;

    /// Takes an id, or what [`InviteToken::in_link`] takes.
    fn from_str(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        if let Ok(id) = text.parse() {
            return Ok(Self::Id(id, text.to_owned()));
        }
        let token = InviteToken::in_link(text);
        token.map(Self::Token).map_err(|_| Error::InviteUnknown)
    }
}

/// Most invites that one request makes.
pub const MAX_BULK: usize = 10_000;
/// Longest span that an invite may be given: a hundred years, in seconds.
const MAX_LIFETIME: i64 = 100 * 365 * 86_400;
/// Most uses that an invite may be limited to.
const MAX_USES: i64 = 1_000_000;
/// Longest remark, in characters.
const MAX_NOTE: usize = 1_000;
/// Largest `additional_data`, in bytes of JSON.
const MAX_DETAILS: usize = 16 * 1024;

impl App {
    /// Makes an invite and returns when it is durable.
    ///
    /// A server that repeats itself gets the invite it made before.
    pub async fn create_invite(
        &self,
        host: &Host,
        new: NewInvite,
        by: By<'_>,
    ) -> Result<Created, Error> {
        check(host, &new, by)?;
        // A server knows its own accounts.
        let doubts = if !matches!(by, By::Server) && Wanted::is_needed(&new) {
            let checked = Box::pin(self.check_with_server(host, std::slice::from_ref(&new)));
            checked.await.map_err(|(_, error)| error)?.remove(0)
        } else {
            Vec::new()
        };
        let (invite, token) = self.prepare(host, new);
        let invites = std::slice::from_ref(&invite);
        match self
            .store
            .create_invites(invites, authority(by), None)
            .await
        {
            Ok(Creation::Created) => {
                self.metrics.invites_created.inc();
                Ok(Created {
                    invite,
                    token,
                    doubts,
                })
            }
            Ok(Creation::Refused(_) | Creation::Repeated) | Err(store::Error::Conflict) => {
                // Boxed: what seldom happens must not make the future large that always runs.
                let problem = Box::pin(self.why_not_created(host, &invite, by)).await?;
                if matches!((by, &problem), (By::Server, Error::TokenTaken)) {
                    return Box::pin(self.made_before(host, invite, token)).await;
                }
                Err(problem)
            }
            Err(other) => Err(other.into()),
        }
    }

    /// Makes all of these invites or none, and returns when they are durable. The answer of a
    /// request that came before is `true` and what it made then.
    ///
    /// Faults are [`Error::Item`] of the first invite that has one.
    pub async fn create_invites(
        &self,
        host: &Host,
        new: Vec<NewInvite>,
        by: By<'_>,
        repeat: Option<RepeatKey>,
    ) -> Result<(bool, Vec<Created>), Error> {
        if !(1..=MAX_BULK).contains(&new.len()) {
            return Err(Error::invalid(
                "invites",
                format!("there must be 1 to {MAX_BULK} of them"),
            ));
        }
        let item = |at: usize| {
            move |problem| Error::Item {
                index: at + 1,
                problem: Box::new(problem),
            }
        };
        let request = repeat.map(|repeat| Request {
            id: secret::random_bytes(),
            key: request_key(host, by, &repeat.key),
            fingerprint: repeat.fingerprint,
        });
        for (at, new) in new.iter().enumerate() {
            check(host, new, by).map_err(item(at))?;
        }
        let doubts = match self.check_with_server(host, &new).await {
            Ok(doubts) => doubts,
            Err((at, problem)) => {
                // What the request made when it came first may be why.
                if let Some(request) = &request
                    && let Ok(made) = self.repeat(host, request).await
                {
                    return Ok((true, made));
                }
                return Err(item(at)(problem));
            }
        };
        let (mut invites, mut tokens) = (Vec::new(), Vec::new());
        for new in new {
            let (invite, token) = self.prepare(host, new);
            invites.push(invite);
            tokens.push(token);
        }
        let stored = self
            .store
            .create_invites(&invites, authority(by), request.as_ref())
            .await;
        match (stored, request) {
            (Ok(Creation::Created), _) => {
                self.metrics.invites_created.inc_by(invites.len() as u64);
                let created = invites.into_iter().zip(tokens).zip(doubts);
                let created = created.map(|((invite, token), doubts)| Created {
                    invite,
                    token,
                    doubts,
                });
                Ok((false, created.collect()))
            }
            (Ok(Creation::Refused(at)), _) => {
                let refused = &invites[at];
                let (token, name) = (refused.token_hash, refused.held_name());
                let mut before = invites[..at].iter();
                let problem = if before.clone().any(|other| other.token_hash == token) {
                    Error::TokenTaken
                } else if name.is_some() && before.any(|other| other.held_name() == name) {
                    Error::NameHeld
                } else {
                    self.why_not_created(host, refused, by).await?
                };
                Err(item(at)(problem))
            }
            (Ok(Creation::Repeated) | Err(store::Error::Conflict), Some(request)) => {
                Ok((true, self.repeat(host, &request).await?))
            }
            (Ok(Creation::Repeated) | Err(store::Error::Conflict), None) => Err(Error::StoreBusy),
            (Err(other), _) => Err(other.into()),
        }
    }

    /// What the request made when it came first.
    async fn repeat(&self, host: &Host, request: &Request) -> Result<Vec<Created>, Error> {
        let before = self
            .store
            .find_request(&host.domain, request.key)
            .await?
            .ok_or(Error::StoreBusy)?;
        if before.fingerprint != request.fingerprint {
            return Err(Error::RequestKeyReused);
        }
        let invites = self
            .store
            .find_invites_of_request(&host.domain, before.id)
            .await?;
        invites
            .into_iter()
            .map(|invite| {
                let token = self.token_of(&invite).ok_or(Error::InviteUnknown)?;
                Ok(Created {
                    invite,
                    token,
                    doubts: Vec::new(),
                })
            })
            .collect()
    }

    /// What will be stored, with a token.
    fn prepare(&self, host: &Host, new: NewInvite) -> (Invite, InviteToken) {
        let token = new.token.unwrap_or_else(InviteToken::generate);
        let hash = token.hash(&host.domain);
        let now = self.clock.now();
        let lifetime = host.lifetime(new.kind, new.lifetime);
        let invite = Invite {
            id: InviteId::generate(),
            host: host.domain.clone(),
            kind: new.kind,
            creator: creator(host, new.kind, new.localpart.as_ref(), &new.details),
            localpart: new.localpart,
            allow_registration: new.allow_registration,
            max_uses: new.max_uses,
            uses: 0,
            unfinished: 0,
            created_at: now,
            expires_at: lifetime.map(|seconds| now.plus(seconds)),
            revoked_at: None,
            landing_url: new.landing_url.map(|url| without_token(&url, &token)),
            details: new.details,
            token_hash: hash.0,
            token_sealed: self.sealer.seal(&token, &hash),
        };
        (invite, token)
    }

    /// Finds the reason of a refusal, off the fast path.
    async fn why_not_created(
        &self,
        host: &Host,
        wanted: &Invite,
        by: By<'_>,
    ) -> Result<Error, Error> {
        if let By::Key(key) = by {
            self.check_key_again(host, key).await?;
        }
        let hash = TokenHash(wanted.token_hash);
        if self.store.find_invite(&host.domain, &hash).await?.is_some() {
            return Ok(Error::TokenTaken);
        }
        let now = self.clock.now();
        if let Some(name) = wanted.held_name()
            && self.store.name_is_held(&host.domain, name, now).await?
        {
            return Ok(Error::NameHeld);
        }
        Ok(match by {
            By::Key(key) if key.limited => Error::KeyLimit {
                retry_after: (now.day() + 1) * 86_400 - now.0,
            },
            _ => Error::NameHeld,
        })
    }

    /// The invite that a server made before with the same token, if it is the same in all else.
    async fn made_before(
        &self,
        host: &Host,
        wanted: Invite,
        token: InviteToken,
    ) -> Result<Created, Error> {
        let there = self.find_invite(host, &token).await?;
        let same = (
            there.kind,
            &there.localpart,
            there.allow_registration,
            &there.details,
        ) == (
            wanted.kind,
            &wanted.localpart,
            wanted.allow_registration,
            &wanted.details,
        );
        if same && there.state(self.clock.now()) == State::Open {
            return Ok(Created {
                invite: there,
                token,
                doubts: Vec::new(),
            });
        }
        Err(Error::TokenTaken)
    }

    /// The invite with this token, whatever its state.
    pub async fn find_invite(&self, host: &Host, token: &InviteToken) -> Result<Invite, Error> {
        self.store
            .find_invite(&host.domain, &token.hash(&host.domain))
            .await?
            .ok_or(Error::InviteUnknown)
    }

    /// The invite that a person names, whatever its state, and its token if it can be shown.
    pub async fn find_invite_by(
        &self,
        host: &Host,
        by: &FindBy,
    ) -> Result<(Invite, Option<InviteToken>), Error> {
        match by {
            FindBy::Token(token) => Ok((self.find_invite(host, token).await?, Some(token.clone()))),
            FindBy::Id(id, text) => {
                let Some(invite) = self.store.find_invite_by_id(&host.domain, *id).await? else {
                    // Somebody may have chosen a token that looks like an id.
                    let token: InviteToken = text.parse().map_err(|_| Error::InviteUnknown)?;
                    return Ok((self.find_invite(host, &token).await?, Some(token)));
                };
                let token = self.token_of(&invite);
                Ok((invite, token))
            }
        }
    }

    /// The invite with this token, if it can be used now. Uses nothing up.
    pub async fn look_up(&self, host: &Host, token: &str) -> Result<(Invite, InviteToken), Error> {
        let token: InviteToken = token.parse().map_err(|_| Error::InviteUnknown)?;
        let invite = self.find_invite(host, &token).await?;
        usable(&invite, self.clock.now())?;
        Ok((invite, token))
    }

    /// [`App::look_up`] for showing the invite: what another process has just done to it may not show
    /// for 10 ms.
    pub async fn recall(&self, host: &Host, token: &InviteToken) -> Result<Invite, Error> {
        let hash = token.hash(&host.domain);
        let invite = self.store.recall_invite(&host.domain, &hash).await?;
        let invite = invite.ok_or(Error::InviteUnknown)?;
        usable(&invite, self.clock.now())?;
        Ok(invite)
    }

    /// A part of the invites of a host, oldest first.
    pub async fn list_invites(
        &self,
        host: &Host,
        which: &ListInvites,
    ) -> Result<InvitePage, Error> {
        let now = self.clock.now();
        Ok(self.store.list_invites(&host.domain, which, now).await?)
    }

    /// The token of a stored invite; `None` if the sealing key was changed since.
    pub fn token_of(&self, invite: &Invite) -> Option<InviteToken> {
        let hash = crate::token::TokenHash(invite.token_hash);
        self.sealer.open(&invite.token_sealed, &hash)
    }

    /// Where the invite's page is.
    pub fn landing_url(&self, host: &Host, invite: &Invite, token: &InviteToken) -> String {
        match &invite.landing_url {
            Some(url) => url.replace(TOKEN_PLACE, token.expose()),
            None => host.landing_url(token.expose()),
        }
    }

    /// The invite's `xmpp:` URI.
    pub fn uri(&self, invite: &Invite, token: &InviteToken) -> String {
        uri::invite_uri(invite, token)
    }
}

/// Why an invite cannot be used at `now`, if it cannot.
pub(super) fn usable(invite: &Invite, now: Timestamp) -> Result<(), Error> {
    match invite.state(now) {
        State::Expired => Err(Error::InviteExpired),
        State::Open => Ok(()),
        State::Revoked => Err(Error::InviteRevoked),
        State::UsedUp => Err(Error::InviteUsedUp),
    }
}

fn authority(by: By<'_>) -> CreatedBy<'_> {
    match by {
        By::Key(key) => CreatedBy::Key {
            id: &key.id,
            secret_hash: key.secret_hash,
            limited: key.limited,
        },
        By::Operator | By::Server => CreatedBy::Trusted,
    }
}

/// Stands in an address of somebody else's page where the token belongs; the token itself must not
/// be readable in the database.
const TOKEN_PLACE: &str = "{token}";

pub(super) fn without_token(url: &str, token: &InviteToken) -> String {
    url.replace(token.expose(), TOKEN_PLACE)
}

/// What is stored of a client's name for a request: no other client's can be the same.
fn request_key(host: &Host, by: By<'_>, key: &str) -> [u8; 32] {
    let who = match by {
        By::Key(key) => key.id.as_str(),
        By::Operator | By::Server => "",
    };
    secret::hash(&["request", host.domain.as_str(), who, key])
}

/// The local user who makes the invite: the inviter, or the one whom its source names.
pub(super) fn creator(
    host: &Host,
    kind: Kind,
    localpart: Option<&Localpart>,
    details: &Details,
) -> Option<Localpart> {
    if kind == Kind::Contact {
        return localpart.cloned();
    }
    let address = details.source.as_ref()?.split('/').next()?;
    let jid: BareJid = address.parse().ok()?;
    (jid.domain == host.domain).then_some(jid.localpart)
}

fn check(host: &Host, new: &NewInvite, by: By<'_>) -> Result<(), Error> {
    if let By::Key(key) = by {
        rights::check(host, new, key)?;
    }
    if !matches!(by, By::Server) {
        check_extra(&new.details)?;
        check_note(new.details.note.as_deref())?;
    }
    if new.kind != Kind::Contact && !new.allow_registration {
        return Err(Error::invalid(
            "allow_registration",
            "only contact invites can do without",
        ));
    }
    check_name(host, new)?;
    check_limits(new.kind, new.localpart.is_some(), new.max_uses)?;
    check_lifetime(new.kind, new.lifetime)?;
    if let (Some(token), By::Key(_) | By::Operator) = (&new.token, by) {
        check_choice(token, new.kind, new.max_uses)?;
    }
    if new.landing_url.as_ref().is_some_and(|url| url.len() > 2048) {
        return Err(Error::invalid(
            "landing_page",
            "it is longer than 2048 bytes",
        ));
    }
    check_details(&new.details)
}

/// A member of `extra` that a chat server acts on would be a way around the field that is for it.
fn check_extra(details: &Details) -> Result<(), Error> {
    match details
        .extra
        .keys()
        .find(|key| Details::means_something(key))
    {
        Some(taken) => Err(Error::invalid(
            "extra",
            format!("{taken:?} cannot be set here: it means something to the chat server"),
        )),
        None => Ok(()),
    }
}

/// A text that people can remember can be guessed; one use of it would go to whoever does first.
fn check_choice(token: &InviteToken, kind: Kind, max_uses: Option<i64>) -> Result<(), Error> {
    if max_uses == Some(1) || kind != Kind::Account {
        return Err(Error::invalid("token", CHOSEN_FOR_SEVERAL));
    }
    if token.is_random() {
        let reason = format!(
            "{OUR_LENGTH} letters are what random tokens have; make yours shorter or longer"
        );
        return Err(Error::invalid("token", reason));
    }
    Ok(())
}

/// A remark of bearable length.
pub(super) fn check_note(note: Option<&str>) -> Result<(), Error> {
    if note.is_some_and(|note| note.chars().count() > MAX_NOTE) {
        let reason = format!("it is longer than {MAX_NOTE} characters");
        return Err(Error::invalid("note", reason));
    }
    Ok(())
}

fn check_name(host: &Host, new: &NewInvite) -> Result<(), Error> {
    match (new.kind, &new.localpart) {
        (Kind::Account, Some(name)) if host.usernames == Usernames::Plain && !name.is_plain() => {
            Err(Error::invalid("username", NOT_PLAIN))
        }
        (Kind::Contact, None) => Err(Error::invalid(
            "inviter",
            "the name of the inviter is missing",
        )),
        (Kind::Reset, None) => Err(Error::invalid(
            "username",
            "the account to reset is missing",
        )),
        _ => Ok(()),
    }
}

pub(super) fn check_limits(kind: Kind, has_name: bool, max_uses: Option<i64>) -> Result<(), Error> {
    let wrong = |reason: String| Err(Error::invalid("max_uses", reason));
    if max_uses.is_some_and(|max| !(1..=MAX_USES).contains(&max)) {
        return wrong(format!("it must be between 1 and {MAX_USES}"));
    }
    match kind {
        Kind::Account if has_name && max_uses != Some(1) => {
            wrong("a fixed name can be given only once".into())
        }
        Kind::Reset if max_uses != Some(1) => wrong("a reset can be used only once".into()),
        _ => Ok(()),
    }
}

pub(super) fn check_lifetime(kind: Kind, lifetime: Lifetime) -> Result<(), Error> {
    let wrong = |reason: &str| Err(Error::invalid("expires_in", reason));
    match (kind, lifetime) {
        (Kind::Contact, Lifetime::Never) => wrong("an invite to become a contact must expire"),
        (Kind::Reset, Lifetime::Never) => wrong("a reset must expire"),
        (_, Lifetime::Seconds(seconds)) if !(1..=MAX_LIFETIME).contains(&seconds) => {
            wrong("it must be longer than nothing and at most 100 years")
        }
        _ => Ok(()),
    }
}

pub(super) fn check_details(details: &Details) -> Result<(), Error> {
    let own = [&details.source, &details.note].into_iter().flatten();
    let texts = own.chain(&details.roles).chain(&details.groups);
    // A byte takes six at the most in JSON, and a text three more; so most need not be written twice.
    if details.extra.is_empty() && texts.map(|text| 3 + 6 * text.len()).sum::<usize>() < 1024 {
        return Ok(());
    }
    let size = serde_json::to_vec(details).map_or(usize::MAX, |json| json.len());
    if size > MAX_DETAILS {
        return Err(Error::invalid(
            "additional_data",
            "it is larger than 16 KiB",
        ));
    }
    Ok(())
}

/// What is wrong with a chosen token where there is one use.
pub(super) const CHOSEN_FOR_SEVERAL: &str =
    "only an invite for several accounts can have a token of your choice";

/// What is wrong with a name that the plain policy refuses.
pub(super) const NOT_PLAIN: &str = "use small letters a to z, digits, dot, dash and underscore; begin with a letter or digit; 64 at the most";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_may_name_an_invite_by_link_uri_token_or_id() {
        let token = "7Hq2mZc4XwTn9BvKd1Ry5LpA";
        for text in [
            token.to_owned(),
            format!("https://example.com/invite?{token}"),
            format!("https://example.com/invite?{token}&utm_source=mail"),
            format!("<https://example.com/invite/{token}/> "),
            format!("xmpp:nora@chat.example?roster;preauth={token};ibr=y"),
        ] {
            let Ok(FindBy::Token(found)) = text.parse() else {
                panic!("{text} names no token");
            };
            assert_eq!(found.expose(), token);
        }
        let id = InviteId::generate();
        assert!(matches!(id.to_string().parse(), Ok(FindBy::Id(found, _)) if found == id));
        assert!("what?".parse::<FindBy>().is_err());
    }
}
