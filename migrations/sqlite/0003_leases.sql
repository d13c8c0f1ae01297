-- Which node does the work that only one should do.
create table leases (
    name       text    not null primary key,
    holder     blob    not null,
    expires_at integer not null
) without rowid;
