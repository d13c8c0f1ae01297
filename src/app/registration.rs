//! Turns a use of an invite into an account: reserve, then confirm or release.

use super::App;
use super::invites::{NOT_PLAIN, usable};
use crate::config::Host;
use crate::config::file::Usernames;
use crate::error::{Error, chain};
use crate::invite::{Invite, Kind, State};
use crate::jid::{BareJid, Localpart, ParseError};
use crate::registration::{RegistrationId, Reserved};
use crate::store::Attempt;
use crate::token::InviteToken;
use crate::xmpp;

/// Longest password, in bytes; a bound against abuse, not a policy.
const MAX_PASSWORD: usize = 1024;

/// A shorter name stands in many good passwords by chance.
const SHORTEST_TELLING_NAME: usize = 4;

impl App {
    /// Binds one use of an invite to this attempt, durably. The same holder may ask again.
    pub async fn reserve(
        &self,
        host: &Host,
        token: &str,
        username: &str,
        holder: &str,
    ) -> Result<RegistrationId, Error> {
        let token: InviteToken = token.parse().map_err(|_| Error::InviteUnknown)?;
        let hash = token.hash(&host.domain);
        let invite = self.find_invite(host, &token).await?;
        let name = parse_name(username)?;
        // Whoever was named may have any name that the server knows.
        if invite.kind != Kind::Reset {
            check_new_name(host, &name)?;
        }
        let kind = if invite.kind == Kind::Reset {
            Kind::Reset
        } else {
            Kind::Account
        };
        let now = self.clock.now();
        let attempt = Attempt {
            token: &hash,
            name: &name,
            kind,
            holder,
            source: invite.details.source.as_deref(),
        };
        match self.store.reserve(&host.domain, attempt, now).await? {
            Reserved::Kept(id) => Ok(id),
            Reserved::New(id) => {
                self.metrics.reservations.inc();
                Ok(id)
            }
            Reserved::Refused => {
                self.metrics.reservations_refused.inc();
                Err(self.why_not_reserved(host, &token, &name).await?)
            }
        }
    }

    async fn why_not_reserved(
        &self,
        host: &Host,
        token: &InviteToken,
        name: &Localpart,
    ) -> Result<Error, Error> {
        let invite = self.find_invite(host, token).await?;
        if invite.revoked_at.is_some() {
            return Ok(Error::InviteRevoked);
        }
        if !invite.allow_registration {
            return Ok(Error::InviteNotForThis);
        }
        if invite.fixed_name().is_some_and(|fixed| fixed != name) {
            return Ok(Error::NameMismatch);
        }
        if invite.max_uses.is_some_and(|max| invite.uses >= max) {
            let may_come_back = invite.state(self.clock.now()) != State::UsedUp;
            return Ok(if may_come_back {
                Error::InviteBusy
            } else {
                Error::InviteUsedUp
            });
        }
        // Nobody else can be promised an account that is there; somebody is just changing it.
        Ok(if invite.kind == Kind::Reset {
            Error::InviteBusy
        } else {
            Error::NameHeld
        })
    }

    /// Binds one use of a contact token to this attempt.
    pub async fn claim_contact(
        &self,
        host: &Host,
        token: &str,
        inviter: &str,
    ) -> Result<(Invite, InviteToken, RegistrationId), Error> {
        let (invite, token) = self.look_up(host, token).await?;
        let inviter = parse_name(inviter)?;
        if invite.inviter() != Some(&inviter) {
            return Err(Error::InviteNotForThis);
        }
        let hash = token.hash(&host.domain);
        let now = self.clock.now();
        match self
            .store
            .claim_contact(
                &host.domain,
                &hash,
                &inviter,
                invite.details.source.as_deref(),
                now,
            )
            .await?
        {
            Some(id) => Ok((invite, token, id)),
            None => Err(Error::InviteUsedUp),
        }
    }

    /// Records that the account exists.
    pub async fn confirm(&self, host: &Host, id: RegistrationId) -> Result<(), Error> {
        let now = self.clock.now();
        if self.store.confirm(&host.domain, id, now).await? {
            self.metrics.confirmed.inc();
        }
        Ok(())
    }

    /// Gives the use back.
    pub async fn release(&self, host: &Host, id: RegistrationId) -> Result<(), Error> {
        let now = self.clock.now();
        if self.store.release(&host.domain, id, now).await? {
            self.metrics.released.inc();
        }
        Ok(())
    }

    /// Whether somebody without an invite may take this name.
    pub async fn check_name(&self, host: &Host, username: &str) -> Result<(), Error> {
        let name = parse_name(username)?;
        if self
            .store
            .name_is_held(&host.domain, &name, self.clock.now())
            .await?
        {
            return Err(Error::NameHeld);
        }
        Ok(())
    }

    /// Makes the account (or sets the new password) for somebody who filled in a form, ours or a
    /// portal's, by the road that an app takes: a stream to the XMPP server that presents the
    /// token.
    ///
    /// Faults of one field are [`Error::Invalid`] with that field, or one of the `Name…` errors.
    pub async fn register(
        &self,
        host: &Host,
        token: &str,
        username: &str,
        password: &str,
    ) -> Result<BareJid, Error> {
        let (invite, token) = self.look_up(host, token).await?;
        if !invite.allow_registration {
            return Err(Error::InviteNotForThis);
        }
        let name = Localpart::at(&host.domain, username.trim()).map_err(|why| wrong_name(&why))?;
        if invite.kind != Kind::Reset {
            check_new_name(host, &name)?;
        }
        if invite.fixed_name().is_some_and(|fixed| *fixed != name) {
            return Err(Error::NameMismatch);
        }
        check_password(host, &name, password)?;
        let server = &self.servers[self.position(host)];
        match xmpp::register(server, token.expose(), name.as_str(), password).await {
            Ok(()) => {
                tracing::info!(host = %host.domain, invite = %invite.id, kind = invite.kind.as_str(), "registered");
                self.confirm_at_once(host, &invite, &name).await;
                Ok(BareJid {
                    localpart: name,
                    domain: host.domain.clone(),
                })
            }
            Err(refusal) => {
                tracing::info!(host = %host.domain, invite = %invite.id, reason = %chain(&refusal), "registration failed");
                Err(self.explain(host, &token, refusal).await)
            }
        }
    }

    /// The XMPP server said that the account is there, and confirms in its own time; whoever looks
    /// at the invite after our answer must find it used already.
    async fn confirm_at_once(&self, host: &Host, invite: &Invite, name: &Localpart) {
        let confirmed = async {
            match self.store.find_open(&host.domain, invite.id, name).await? {
                Some(id) => self.confirm(host, id).await,
                None => Ok(()),
            }
        };
        if let Err(error) = confirmed.await {
            tracing::warn!(host = %host.domain, invite = %invite.id, "left to the server to confirm: {}", error.chain());
        }
    }

    /// What the person should know about a refusal of the XMPP server.
    async fn explain(&self, host: &Host, token: &InviteToken, refusal: xmpp::Error) -> Error {
        let unreachable = matches!(
            refusal,
            xmpp::Error::Unreachable { .. } | xmpp::Error::OutcomeUnknown { .. }
        );
        // Somebody else may have been quicker: then that is the reason, whatever words the
        // server found for it.
        if !unreachable {
            let invite = match self.find_invite(host, token).await {
                Ok(invite) => invite,
                Err(error) => return error,
            };
            if let Err(error) = usable(&invite, self.clock.now()) {
                return error;
            }
            if invite.max_uses.is_some_and(|max| invite.uses >= max) {
                return Error::InviteBusy;
            }
        }
        match refusal {
            xmpp::Error::NameTaken => Error::NameTaken,
            xmpp::Error::NameRefused { text } => Error::invalid(
                "username",
                text.unwrap_or_else(|| "the chat server does not take this name".into()),
            ),
            xmpp::Error::PasswordRefused { text } => Error::invalid(
                "password",
                text.unwrap_or_else(|| "the chat server does not take this password".into()),
            ),
            xmpp::Error::OutcomeUnknown { .. } => Error::RegistrationUnknown(Box::new(refusal)),
            xmpp::Error::Refused {
                text: Some(text), ..
            } => Error::RegistrationRefused(text),
            xmpp::Error::Refused { text: None, .. } => {
                Error::RegistrationRefused("The chat server refused the registration.".into())
            }
            xmpp::Error::TryLater { text } => Error::TryLater(text),
            xmpp::Error::TokenNotSupported
            | xmpp::Error::TokenRefused
            | xmpp::Error::Unreachable { .. } => Error::XmppUnavailable(Box::new(refusal)),
        }
    }

    pub(super) fn position(&self, host: &Host) -> usize {
        self.config
            .hosts
            .iter()
            .position(|other| other.domain == host.domain)
            .expect("the host comes from this configuration")
    }
}

fn parse_name(text: &str) -> Result<Localpart, Error> {
    text.trim().parse().map_err(|why| wrong_name(&why))
}

fn wrong_name(why: &ParseError) -> Error {
    Error::invalid("username", format!("this name {why}"))
}

/// Whether a new account may have this name.
fn check_new_name(host: &Host, name: &Localpart) -> Result<(), Error> {
    if host.usernames == Usernames::Plain && !name.is_plain() {
        return Err(Error::invalid("username", NOT_PLAIN));
    }
    Ok(())
}

/// Which characters a password may have is the chat server's matter: it is sent as it was typed.
fn check_password(host: &Host, name: &Localpart, password: &str) -> Result<(), Error> {
    let policy = host.password_policy;
    let wrong = |reason: String| Err(Error::invalid("password", reason));
    if password.is_empty() {
        return wrong("choose a password".into());
    }
    if password.chars().count() < policy.length {
        return wrong(format!("use at least {} characters", policy.length));
    }
    if password.len() > MAX_PASSWORD {
        return wrong(format!("use at most {MAX_PASSWORD} bytes"));
    }
    let name = name.as_str();
    if policy.exclude_username
        && name.chars().count() >= SHORTEST_TELLING_NAME
        && password.to_lowercase().contains(name)
    {
        return wrong("do not use your name in it".into());
    }
    Ok(())
}
