-- Times are integer seconds (UTC); "yes/no" is a time or null; ids and times come from the program.

create table api_keys (
    host        text    not null,
    id          text    not null,
    secret_hash blob    not null,
    name        text,
    scopes      text    not null,
    created_at  integer not null,
    expires_at  integer,
    max_per_day integer,
    -- The day (number since 1970) that day_count is for, and the invite that was counted last.
    day         integer not null,
    day_count   integer not null,
    last_invite blob,
    primary key (host, id)
) without rowid;

create table invites (
    id            blob    not null primary key,
    host          text    not null,
    token_hash    blob    not null,
    token_sealed  blob    not null,
    kind          text    not null,
    localpart     text,
    registers     integer not null,
    max_uses      integer,
    -- Uses taken, those of unfinished registrations included.
    uses          integer not null,
    -- The registration that took the last use: ties the statements of one change together.
    last_use      blob,
    created_at    integer not null,
    expires_at    integer,
    revoked_at    integer,
    landing_url   text,
    details       text    not null
) without rowid;

create unique index invites_by_token on invites (token_hash);

-- Names that are kept free for the invitee of one invite.
create table held_names (
    host       text    not null,
    localpart  text    not null,
    invite_id  blob    not null,
    expires_at integer,
    primary key (host, localpart)
) without rowid;

create index held_names_by_invite on held_names (invite_id);

create table registrations (
    id           blob    not null primary key,
    host         text    not null,
    invite_id    blob    not null,
    kind         text    not null,
    localpart    text    not null,
    holder       text    not null,
    reserved_at  integer not null,
    confirmed_at integer,
    released_at  integer,
    -- The change that confirmed or released it: ties the statements of that change together.
    settled_by   blob
) without rowid;

create index registrations_by_invite on registrations (invite_id);

-- One unfinished attempt at a name at a time.
create unique index registrations_open_name on registrations (host, localpart)
    where confirmed_at is null and released_at is null and kind <> 'contact';

create index registrations_open on registrations (host, reserved_at)
    where confirmed_at is null and released_at is null;
