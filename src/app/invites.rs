//! Makes, finds and takes back invites.

use super::App;
use super::keys::AcceptedKey;
use crate::clock::Timestamp;
use crate::config::Host;
use crate::config::file::Usernames;
use crate::error::Error;
use crate::invite::{Invite, InviteId, Kind, Lifetime, NewInvite, State};
use crate::store::{self, CreatedBy, Creation, ListInvites};
use crate::token::InviteToken;
use crate::uri;

/// Who makes an invite.
#[derive(Debug)]
pub enum By<'a> {
    /// A script or website with an API key.
    Key(&'a AcceptedKey),
    /// The operator.
    Operator,
    /// An XMPP server, which has chosen the token.
    Server(InviteToken),
}

/// An invite just made, or made before by the same request.
#[derive(Debug)]
pub struct Created {
    pub invite: Invite,
    pub token: InviteToken,
}

/// How a person names an invite.
#[derive(Debug, Clone)]
pub enum FindBy {
    Id(InviteId),
    Token(InviteToken),
}

impl std::str::FromStr for FindBy {
    type Err = Error;

    /// Takes an id, a token, a link or an `xmpp:` URI.
    fn from_str(text: &str) -> Result<Self, Error> {
        if let Ok(id) = text.parse() {
            return Ok(Self::Id(id));
        }
        let token = match text.split_once("preauth=") {
            Some((_, rest)) => rest,
            None => text.split_once('?').map_or(text, |(_, query)| query),
        };
        let token = token.split(['&', ';', '#']).next().unwrap_or_default();
        token
            .parse()
            .map(Self::Token)
            .map_err(|_| Error::InviteUnknown)
    }
}

/// Longest span that an invite may be given: a hundred years, in seconds.
const MAX_LIFETIME: i64 = 100 * 365 * 86_400;
/// Most uses that an invite may be limited to.
const MAX_USES: i64 = 1_000_000;
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
        check(host, &new)?;
        let token = match &by {
            By::Server(token) => token.clone(),
            By::Key(_) | By::Operator => InviteToken::generate(),
        };
        let hash = token.hash(&host.domain);
        let now = self.clock.now();
        let invite = Invite {
            id: InviteId::generate(),
            host: host.domain.clone(),
            kind: new.kind,
            localpart: new.localpart,
            allow_registration: new.allow_registration,
            max_uses: new.max_uses,
            uses: 0,
            unfinished: 0,
            created_at: now,
            expires_at: host
                .lifetime(new.kind, new.lifetime)
                .map(|seconds| now.plus(seconds)),
            revoked_at: None,
            landing_url: new.landing_url,
            details: new.details,
            token_hash: hash.0,
            token_sealed: self.sealer.seal(&token, &hash),
        };
        let authority = match &by {
            By::Key(key) => CreatedBy::Key {
                id: &key.id,
                secret_hash: key.secret_hash,
                limited: key.limited,
            },
            By::Operator | By::Server(_) => CreatedBy::Trusted,
        };
        match self.store.create_invite(&invite, authority).await {
            Ok(Creation::Created) => {
                self.metrics.invites_created.inc();
                Ok(Created { invite, token })
            }
            Ok(Creation::Refused) | Err(store::Error::Conflict) => {
                self.why_not_created(host, invite, token, &by).await
            }
            Err(other) => Err(other.into()),
        }
    }

    /// Finds the reason of a refusal, off the fast path.
    async fn why_not_created(
        &self,
        host: &Host,
        wanted: Invite,
        token: InviteToken,
        by: &By<'_>,
    ) -> Result<Created, Error> {
        if let By::Key(key) = by {
            self.why_key_refused(host, key).await?;
        }
        if let Some(there) = self
            .store
            .find_invite(&host.domain, &token.hash(&host.domain))
            .await?
        {
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
                });
            }
            return Err(Error::TokenTaken);
        }
        Err(Error::NameHeld)
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
            FindBy::Id(id) => {
                let invite = self
                    .store
                    .find_invite_by_id(&host.domain, *id)
                    .await?
                    .ok_or(Error::InviteUnknown)?;
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

    /// Takes an invite back; `false` if it was revoked before.
    pub async fn revoke_invite(&self, host: &Host, invite: &Invite) -> Result<bool, Error> {
        let now = self.clock.now();
        Ok(self
            .store
            .revoke_invite(&host.domain, invite.id, now)
            .await?)
    }

    /// Invites of a host, oldest first.
    pub async fn list_invites(
        &self,
        host: &Host,
        which: ListInvites,
    ) -> Result<Vec<Invite>, Error> {
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
        invite
            .landing_url
            .clone()
            .unwrap_or_else(|| host.landing_url(token.expose()))
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

fn check(host: &Host, new: &NewInvite) -> Result<(), Error> {
    match (new.kind, &new.localpart) {
        (Kind::Account, Some(name)) => {
            if host.usernames == Usernames::Plain && !name.is_plain() {
                return Err(Error::invalid("username", NOT_PLAIN));
            }
            if new.max_uses != Some(1) {
                return Err(Error::invalid(
                    "max_uses",
                    "a fixed name can be given only once",
                ));
            }
        }
        (Kind::Account, None) => {}
        (Kind::Contact, Some(_)) => {
            if new.lifetime == Lifetime::Never {
                return Err(Error::invalid(
                    "expires_in",
                    "an invite to become a contact must expire",
                ));
            }
        }
        (Kind::Contact, None) => {
            return Err(Error::invalid(
                "inviter",
                "the name of the inviter is missing",
            ));
        }
        (Kind::Reset, Some(_)) => {
            if new.max_uses != Some(1) {
                return Err(Error::invalid("max_uses", "a reset can be used only once"));
            }
            if new.lifetime == Lifetime::Never {
                return Err(Error::invalid("expires_in", "a reset must expire"));
            }
        }
        (Kind::Reset, None) => {
            return Err(Error::invalid(
                "username",
                "the account to reset is missing",
            ));
        }
    }
    if new
        .max_uses
        .is_some_and(|max| !(1..=MAX_USES).contains(&max))
    {
        return Err(Error::invalid(
            "max_uses",
            format!("it must be between 1 and {MAX_USES}"),
        ));
    }
    if let Lifetime::Seconds(seconds) = new.lifetime
        && !(1..=MAX_LIFETIME).contains(&seconds)
    {
        return Err(Error::invalid(
            "expires_in",
            "it must be longer than nothing and at most 100 years",
        ));
    }
    let size = serde_json::to_vec(&new.details).map_or(usize::MAX, |json| json.len());
    if size > MAX_DETAILS {
        return Err(Error::invalid(
            "additional_data",
            "it is larger than 16 KiB",
        ));
    }
    Ok(())
}

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
            format!("xmpp:nora@chat.example?roster;preauth={token};ibr=y"),
        ] {
            let Ok(FindBy::Token(found)) = text.parse() else {
                panic!("{text} names no token");
            };
            assert_eq!(found.expose(), token);
        }
        let id = InviteId::generate();
        assert!(matches!(id.to_string().parse(), Ok(FindBy::Id(found)) if found == id));
        assert!("what?".parse::<FindBy>().is_err());
    }
}
