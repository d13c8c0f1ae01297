-- Which node does the work that only one should do.
create table leases (
    name       text   not null primary key,
    holder     bytea  not null,
    expires_at bigint not null
);
