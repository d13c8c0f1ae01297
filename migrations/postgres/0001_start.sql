-- Times are integer seconds (UTC); "yes/no" is a time or null; ids and times come from the program.

create table api_keys (
    host        text    not null,
    id          text    not null,
    secret_hash bytea   not null,
    name        text,
    scopes      text    not null,
    created_at  bigint  not null,
    expires_at  bigint,
    max_per_day bigint,
    -- The day (number since 1970) that day_count is for, and the invite that was counted last.
    day         bigint  not null,
    day_count   bigint  not null,
    last_invite bytea,
    primary key (host, id)
);

create table invites (
    id            bytea   not null primary key,
    host          text    not null,
    token_hash    bytea   not null,
    token_sealed  bytea   not null,
    kind          text    not null,
    localpart     text,
    registers     bigint  not null,
    max_uses      bigint,
    -- Uses taken, those of unfinished registrations included.
    uses          bigint  not null,
    -- The registration that took the last use: ties the statements of one change together.
    last_use      bytea,
    created_at    bigint  not null,
    expires_at    bigint,
    revoked_at    bigint,
    landing_url   text,
    details       text    not null
);

create unique index invites_by_token on invites (token_hash);

-- Names that are kept free for the invitee of one invite.
create table held_names (
    host       text    not null,
    localpart  text    not null,
    invite_id  bytea   not null,
    expires_at bigint,
    primary key (host, localpart)
);

create index held_names_by_invite on held_names (invite_id);

create table registrations (
    id           bytea   not null primary key,
    host         text    not null,
    invite_id    bytea   not null,
    kind         text    not null,
    localpart    text    not null,
    holder       text    not null,
    reserved_at  bigint  not null,
    confirmed_at bigint,
    released_at  bigint,
    -- The change that confirmed or released it: ties the statements of that change together.
    settled_by   bytea
);

create index registrations_by_invite on registrations (invite_id);

-- One unfinished attempt at a name at a time.
create unique index registrations_open_name on registrations (host, localpart)
    where confirmed_at is null and released_at is null and kind <> 'contact';

create index registrations_open on registrations (host, reserved_at)
    where confirmed_at is null and released_at is null;
