-- What people say about a pass or fail of the adversarial set in a run. The outcome itself stays as it was recorded.

CREATE TABLE adversarial_check (
    check_id   VARCHAR PRIMARY KEY,                -- made by the page, so that sending twice stores once
    run_id     VARCHAR NOT NULL,
    entry_id   VARCHAR NOT NULL,
    side       VARCHAR NOT NULL CHECK (side IN ('old', 'new')),
    repeat     INTEGER NOT NULL,
    decided_by VARCHAR NOT NULL,                   -- of the outcome: 'structured', 'judge NAME' …
    said       BOOLEAN NOT NULL,                   -- what the outcome says: passed
    passes     BOOLEAN,                            -- what the person says; NULL: cannot tell
    drawn      BOOLEAN NOT NULL,                   -- at random: only such say how often a judge errs
    checked_by VARCHAR NOT NULL,
    checked_at TIMESTAMPTZ NOT NULL
);

CREATE TRIGGER adversarial_check_keeps_on_delete AFTER DELETE ON adversarial_check FOR EACH STATEMENT
    INSERT INTO refused SELECT error('checks are append-only: DELETE refused');
CREATE TRIGGER adversarial_check_keeps_on_update AFTER UPDATE ON adversarial_check FOR EACH STATEMENT
    INSERT INTO refused SELECT error('checks are append-only: UPDATE refused');
