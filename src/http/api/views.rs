//! What the API and the command line's `--json` show: one form for both.

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::api_key::{ApiKey, Scope};
use crate::app::{App, Branch};
use crate::clock::Timestamp;
use crate::config::Host;
use crate::error::Error;
use crate::invite::{Invite, Kind, State};
use crate::jid::{BareJid, Localpart};
use crate::registration::{PastRegistration, Registration};
use crate::store::ListInvites;
use crate::token::InviteToken;

/// An invite.
#[derive(Debug, Serialize, ToSchema)]
pub struct InviteView {
    /// Names the invite without being a secret.
    #[schema(format = "uuid")]
    id: String,
    kind: Kind,
    state: State,
    /// The secret in the link; absent if the key that it is sealed under was changed.
    token: Option<String>,
    /// The invite's page.
    url: Option<String>,
    /// The invite's `xmpp:` URI.
    uri: Option<String>,
    /// The only name that it gives, or the account to reset.
    username: Option<String>,
    /// The local user who invites.
    inviter: Option<String>,
    /// Whether it gives an account.
    allow_registration: bool,
    /// Uses taken, those of unfinished attempts included.
    uses: i64,
    /// How many accounts or contacts it gives; null for no limit.
    max_uses: Option<i64>,
    #[schema(format = DateTime)]
    created_at: String,
    /// Last moment at which it is good; null for never.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    #[schema(format = DateTime)]
    revoked_at: Option<String>,
    /// What made it: `api/token/KEYID`, an address, `command line`.
    source: Option<String>,
    /// A remark that the invitee does not see.
    note: Option<String>,
    /// Roles of the new account, primary first.
    roles: Vec<String>,
    /// Groups that the new account joins.
    groups: Vec<String>,
    /// Whatever else was given along.
    extra: Map<String, Value>,
    /// What the maker should hear, in sentences: what the chat server did not say, or that the account
    /// is disabled. Only in the answer that makes the invite.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub(super) warnings: Vec<String>,
}

impl InviteView {
    /// The invite as it is now; `token` if it can be shown.
    pub fn new(app: &App, host: &Host, invite: &Invite, token: Option<&InviteToken>) -> Self {
        let inviter = invite.inviter().or(invite.creator.as_ref());
        Self {
            id: invite.id.to_string(),
            kind: invite.kind,
            state: invite.state(app.clock.now()),
            token: token.map(|token| token.expose().to_owned()),
            url: token.map(|token| app.landing_url(host, invite, token)),
            uri: token.map(|token| app.uri(invite, token)),
            username: invite.fixed_name().map(ToString::to_string),
            inviter: inviter.map(ToString::to_string),
            allow_registration: invite.allow_registration,
            uses: invite.uses,
            max_uses: invite.max_uses,
            created_at: invite.created_at.iso(),
            expires_at: invite.expires_at.map(Timestamp::iso),
            revoked_at: invite.revoked_at.map(Timestamp::iso),
            source: invite.details.source.clone(),
            note: invite.details.note.clone(),
            roles: invite.details.roles.clone(),
            groups: invite.details.groups.clone(),
            extra: invite.details.extra.clone(),
            warnings: Vec::new(),
        }
    }
}

/// An account that an invite gave, or is about to give.
#[derive(Debug, Serialize, ToSchema)]
pub struct RegistrationView {
    username: String,
    /// Null as long as the attempt is not finished.
    #[schema(format = DateTime)]
    confirmed_at: Option<String>,
}

impl From<&Registration> for RegistrationView {
    fn from(made: &Registration) -> Self {
        Self {
            username: made.localpart.to_string(),
            confirmed_at: made.confirmed_at.map(Timestamp::iso),
        }
    }
}

/// How an account came to be, got a new password, or a contact; outlives the invite.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PastRegistrationView {
    /// The account; for a contact the inviter.
    username: String,
    kind: Kind,
    /// The invite's id; the invite itself may be forgotten.
    #[schema(format = "uuid")]
    invite: String,
    #[schema(format = DateTime)]
    confirmed_at: String,
    /// What made the invite.
    source: Option<String>,
    /// The local user who invited.
    inviter: Option<String>,
}

impl From<&PastRegistration> for PastRegistrationView {
    fn from(made: &PastRegistration) -> Self {
        Self {
            username: made.localpart.to_string(),
            kind: made.kind,
            invite: made.invite_id.to_string(),
            confirmed_at: made.confirmed_at.iso(),
            source: made.source.clone(),
            inviter: made.creator.as_ref().map(ToString::to_string),
        }
    }
}

/// An account, and those that came of its invites.
#[derive(Debug, Serialize, ToSchema)]
struct BranchView {
    #[serde(flatten)]
    registration: PastRegistrationView,
    #[schema(no_recursion)]
    invited: Vec<BranchView>,
}

impl From<&Branch> for BranchView {
    fn from(branch: &Branch) -> Self {
        Self {
            registration: (&branch.registration).into(),
            invited: branch.branches.iter().map(Self::from).collect(),
        }
    }
}

/// Who invited a local user, and whom the user invited.
#[derive(Debug, Serialize, ToSchema)]
pub struct UserView {
    /// The user's address.
    user: String,
    /// How the account came to be and was reset, latest first.
    registrations: Vec<PastRegistrationView>,
    /// The line of inviters above, nearest first.
    invited_by: Vec<PastRegistrationView>,
    /// The accounts that came of the user's invites, and of theirs, a hundred steps down.
    invited: Vec<BranchView>,
    /// How many invites of the user can be used now.
    open_invites: usize,
}

impl UserView {
    /// What was written down about a user. Nobody asks the XMPP server whether the account is
    /// there.
    pub async fn find(app: &App, host: &Host, name: &Localpart) -> Result<Self, Error> {
        let registrations = app.store.registrations_as(&host.domain, name).await?;
        let above = app.inviters_of(host, name).await?;
        let below = app.invited_by(host, name).await?;
        let open = ListInvites {
            creator: Some(name.clone()),
            state: Some(State::Open),
            limit: 10_000,
            ..ListInvites::default()
        };
        let jid = BareJid {
            localpart: name.clone(),
            domain: host.domain.clone(),
        };
        Ok(Self {
            user: jid.to_string(),
            registrations: registrations.iter().map(Into::into).collect(),
            invited_by: above.iter().map(Into::into).collect(),
            invited: below.iter().map(Into::into).collect(),
            open_invites: app.list_invites(host, &open).await?.invites.len(),
        })
    }
}

/// An API key, without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub struct KeyView {
    id: String,
    name: Option<String>,
    scopes: Vec<Scope>,
    #[schema(format = DateTime)]
    created_at: String,
    /// After this moment the key is refused; null for never.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    /// How many invites it may make in one UTC day; null for no limit.
    max_per_day: Option<i64>,
}

impl From<&ApiKey> for KeyView {
    fn from(key: &ApiKey) -> Self {
        Self {
            id: key.id.clone(),
            name: key.name.clone(),
            scopes: key.scopes.clone(),
            created_at: key.created_at.iso(),
            expires_at: key.expires_at.map(Timestamp::iso),
            max_per_day: key.max_per_day,
        }
    }
}
