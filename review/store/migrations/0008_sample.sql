-- Rounds that draw from one cluster, and what people say about single answers in the weekly audit.

ALTER TABLE round ADD COLUMN cluster VARCHAR;           -- only its pairs could be drawn; NULL: all

-- One answer to one trace of an audit. Append-only: a correction supersedes, never overwrites.
CREATE TABLE trace_label (
    label_id    VARCHAR PRIMARY KEY,                    -- made by the browser: sending twice stores once
    sample_id   VARCHAR NOT NULL,
    trace_id    VARCHAR NOT NULL,
    reviewer    VARCHAR NOT NULL,
    kind        VARCHAR NOT NULL CHECK (kind IN ('label', 'skip')),
    error       VARCHAR CHECK (error IN ('none', 'cautious', 'confident', 'other', 'cannot_tell')),
    calibration VARCHAR CHECK (calibration IN ('under', 'right', 'over')),
    tone        VARCHAR CHECK (tone IN ('good', 'fair', 'poor')),
    categories  VARCHAR[],
    comment     VARCHAR,
    seconds     DOUBLE,
    shown_at    TIMESTAMPTZ,
    labelled_at TIMESTAMPTZ NOT NULL,
    received_at TIMESTAMPTZ NOT NULL,
    supersedes  VARCHAR UNIQUE                          -- one later row at most
);

CREATE TRIGGER trace_label_keeps_on_delete AFTER DELETE ON trace_label FOR EACH STATEMENT
    INSERT INTO refused SELECT error('labels of traces are append-only: DELETE refused');
CREATE TRIGGER trace_label_keeps_on_update AFTER UPDATE ON trace_label FOR EACH STATEMENT
    INSERT INTO refused SELECT error('labels of traces are append-only: UPDATE refused');
