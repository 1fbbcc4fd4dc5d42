-- Looks: each time a parity verdict was read off the labels. They share one alpha, so none may be forgotten.
CREATE TABLE look (
    look_id       VARCHAR PRIMARY KEY,
    round_id      VARCHAR,                 -- NULL: over all rounds and imports
    contract      VARCHAR NOT NULL,        -- SHA-256 of the contract; another contract has looks of its own
    number        INTEGER NOT NULL,        -- 1, 2, … within round and contract
    labelled      INTEGER NOT NULL,        -- labelled pairs at that time
    planned       INTEGER NOT NULL,        -- labelled pairs at which the last look is due
    fraction      DOUBLE NOT NULL,         -- labelled / planned, at most 1
    alpha         DOUBLE NOT NULL,         -- one-sided, used at this look
    evidence      VARCHAR NOT NULL,        -- SHA-256 of what was looked at
    verdict       VARCHAR NOT NULL CHECK (verdict IN ('parity', 'regression', 'inconclusive')),
    report        JSON NOT NULL,           -- everything that was said
    taken_by      VARCHAR NOT NULL,
    taken_at      TIMESTAMPTZ NOT NULL
);
-- coalesce, because NULL is never equal to NULL
CREATE UNIQUE INDEX look_once ON look (coalesce(round_id, ''), contract, number);

CREATE TRIGGER look_keeps_on_delete AFTER DELETE ON look FOR EACH STATEMENT
    INSERT INTO refused SELECT error('looks are append-only: DELETE refused');
CREATE TRIGGER look_keeps_on_update AFTER UPDATE ON look FOR EACH STATEMENT
    INSERT INTO refused SELECT error('looks are append-only: UPDATE refused');
