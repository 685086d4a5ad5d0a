-- The tables that processors/history.py fills: PGDATABASE=shop psql -f schemas/history.sql

CREATE TABLE orders (
    order_id    text PRIMARY KEY,
    -- Its events come from three topics, in any order: a column is empty until its event was there.
    customer_id text,
    total       numeric(14, 2),
    lines       integer,
    paid        boolean,
    outcome     text
);

CREATE TABLE payments (
    id          bigserial PRIMARY KEY,
    order_id    text NOT NULL,
    customer_id text NOT NULL,
    amount      numeric(14, 2) NOT NULL,
    approved    boolean NOT NULL
);

CREATE TABLE ledger_entries (
    id          bigserial PRIMARY KEY,
    account     text NOT NULL,
    order_id    text NOT NULL,
    amount      numeric(14, 2) NOT NULL
);
