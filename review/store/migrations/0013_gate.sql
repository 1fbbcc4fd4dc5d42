-- Contracts as people signed them, and verdicts of the gate as they were read.

-- A version is what was agreed; what changed later is another version. Dropping none, changing none.
CREATE TABLE contract_version (
    version    INTEGER PRIMARY KEY,
    digest     VARCHAR NOT NULL,                    -- SHA-256 of `content`
    content    JSON NOT NULL,                       -- domain.contract.signed_text: terms, rubric, failure categories
    made_by    VARCHAR NOT NULL,
    made_at    TIMESTAMPTZ NOT NULL
);

CREATE TABLE contract_signature (
    version    INTEGER NOT NULL,
    name       VARCHAR NOT NULL,                    -- as the person wrote it
    signed_by  VARCHAR NOT NULL,                    -- who was at the keyboard
    signed_at  TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (version, name)
);

CREATE TABLE gate (
    gate_id    VARCHAR PRIMARY KEY,
    run_id     VARCHAR NOT NULL,
    number     INTEGER NOT NULL,                    -- of this run, from 1
    contract   VARCHAR NOT NULL,                    -- digest
    evidence   VARCHAR NOT NULL,                    -- SHA-256 of everything it rests on
    labels     VARCHAR,                             -- SHA-256 of the labels; NULL: there were none to look at
    look       INTEGER,                             -- which look at the labels; the same labels are the same look
    labelled   INTEGER NOT NULL,
    planned    INTEGER NOT NULL,
    alpha      DOUBLE NOT NULL,                     -- one-sided, of what rests on labels
    adversarial_size INTEGER NOT NULL,              -- entries in the set, erased ones included
    verdict    VARCHAR NOT NULL CHECK (verdict IN ('parity', 'regression', 'inconclusive')),
    document   JSON NOT NULL,
    gated_by   VARCHAR NOT NULL,
    gated_at   TIMESTAMPTZ NOT NULL,
    UNIQUE (run_id, number)
);

CREATE TRIGGER contract_version_keeps_on_delete AFTER DELETE ON contract_version FOR EACH STATEMENT
    INSERT INTO refused SELECT error('contracts are append-only: DELETE refused');
CREATE TRIGGER contract_version_keeps_on_update AFTER UPDATE ON contract_version FOR EACH STATEMENT
    INSERT INTO refused SELECT error('contracts are append-only: UPDATE refused');
CREATE TRIGGER contract_signature_keeps_on_delete AFTER DELETE ON contract_signature FOR EACH STATEMENT
    INSERT INTO refused SELECT error('contracts are append-only: DELETE refused');
CREATE TRIGGER contract_signature_keeps_on_update AFTER UPDATE ON contract_signature FOR EACH STATEMENT
    INSERT INTO refused SELECT error('contracts are append-only: UPDATE refused');
CREATE TRIGGER gate_keeps_on_delete AFTER DELETE ON gate FOR EACH STATEMENT
    INSERT INTO refused SELECT error('verdicts of the gate are append-only: DELETE refused');
CREATE TRIGGER gate_keeps_on_update AFTER UPDATE ON gate FOR EACH STATEMENT
    INSERT INTO refused SELECT error('verdicts of the gate are append-only: UPDATE refused');
