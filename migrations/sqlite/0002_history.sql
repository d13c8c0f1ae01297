-- The local user who made the invite, if one did.
alter table invites add column creator text;
-- When its last use was taken for good; for sweeping those that never expire.
alter table invites add column used_up_at integer;
-- The request that made it, if that request may be repeated.
alter table invites add column request_id blob;

create index invites_by_creator on invites (host, creator) where creator is not null;
create index invites_of_resets on invites (host, localpart) where kind = 'reset';
create index invites_by_expiry on invites (expires_at) where expires_at is not null;
create index invites_endless_over on invites (host)
    where expires_at is null and (used_up_at is not null or revoked_at is not null);
create index invites_by_request on invites (request_id) where request_id is not null;

-- Copied from the invite, so that history outlives it.
alter table registrations add column source text;
alter table registrations add column creator text;

create index registrations_open_by_invite on registrations (invite_id)
    where confirmed_at is null and released_at is null;
create index registrations_by_name on registrations (host, localpart) where confirmed_at is not null;
create index registrations_by_creator on registrations (host, creator)
    where confirmed_at is not null and creator is not null;
create index registrations_by_confirmation on registrations (host, confirmed_at) where confirmed_at is not null;
create index registrations_by_end on registrations (released_at) where released_at is not null;

-- Requests that a client may send again (`Idempotency-Key`) without making more.
create table requests (
    host        text    not null,
    -- Hash of the API key's id and the client's key for the request.
    request_key blob    not null,
    id          blob    not null,
    -- Hash of what was asked, to notice another request under the same key.
    fingerprint blob    not null,
    created_at  integer not null,
    primary key (host, request_key)
) without rowid;

create index requests_by_age on requests (created_at);
