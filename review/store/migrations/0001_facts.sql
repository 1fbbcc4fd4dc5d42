-- Pairs, verdicts and labels: the facts that everything else is concluded from.

-- Where the append-only triggers write to: the INSERT never succeeds, because its SELECT raises.
CREATE TABLE refused (reason VARCHAR);

-- database_id, what built it (demo), and the like
CREATE TABLE meta (key VARCHAR PRIMARY KEY, value VARCHAR NOT NULL);
INSERT INTO meta VALUES ('database_id', uuid()::VARCHAR);

-- The long texts are zstd: half the size of what DuckDB would choose, and a checkpoint in a third of the time.
CREATE TABLE pair (
    pair_id            VARCHAR PRIMARY KEY,
    prompt_id          VARCHAR NOT NULL,                      -- the statistical cluster
    task               VARCHAR,
    messages           JSON NOT NULL USING COMPRESSION zstd,  -- OpenAI chat format
    tools              JSON,
    reference          VARCHAR,
    old                JSON NOT NULL USING COMPRESSION zstd,  -- domain.types.Output without its nulls
    new                JSON NOT NULL USING COMPRESSION zstd,
    metadata           JSON,
    identical          BOOLEAN NOT NULL,            -- same text after whitespace, same tool calls
    structured_differs BOOLEAN NOT NULL,            -- tool calls, correctness or finish reason differ
    source             VARCHAR NOT NULL,            -- file name or system it came from
    imported_at        TIMESTAMPTZ NOT NULL
);

CREATE TABLE verdict (
    pair_id         VARCHAR NOT NULL,
    judge           VARCHAR NOT NULL,
    vote            INTEGER NOT NULL,
    shown_first     VARCHAR CHECK (shown_first IN ('old', 'new')),
    winner          VARCHAR CHECK (winner IN ('old', 'new', 'tie')),   -- NULL: unparsable
    raw             VARCHAR,
    rationale       VARCHAR,
    cost_usd        DOUBLE,
    error_old       VARCHAR,
    error_new       VARCHAR,
    tone            VARCHAR,
    calibration_old VARCHAR,
    calibration_new VARCHAR,
    imported_at     TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (pair_id, judge, vote)
);

-- A reviewer's rows. A correction is a new row whose `supersedes` names the old one.
CREATE TABLE label (
    label_id        VARCHAR PRIMARY KEY,
    pair_id         VARCHAR NOT NULL,
    reviewer        VARCHAR NOT NULL,
    kind            VARCHAR NOT NULL CHECK (kind IN ('label', 'skip', 'adjudication')),
    round_id        VARCHAR,
    occurrence      INTEGER NOT NULL DEFAULT 0,      -- 0 first showing; >= 1 hidden repeat
    shown_first     VARCHAR CHECK (shown_first IN ('old', 'new')),
    preference      VARCHAR CHECK (preference IN ('old', 'new', 'tie', 'both_bad')),
    error_old       VARCHAR CHECK (error_old IN ('none', 'cautious', 'confident', 'other', 'cannot_tell')),
    error_new       VARCHAR CHECK (error_new IN ('none', 'cautious', 'confident', 'other', 'cannot_tell')),
    tone            VARCHAR CHECK (tone IN ('old', 'same', 'new')),
    calibration_old VARCHAR CHECK (calibration_old IN ('under', 'right', 'over')),
    calibration_new VARCHAR CHECK (calibration_new IN ('under', 'right', 'over')),
    categories_old  VARCHAR[],
    categories_new  VARCHAR[],
    comment         VARCHAR,                         -- for a skip: the reason
    seconds         DOUBLE,                          -- shown to submitted
    labelled_at     TIMESTAMPTZ,                     -- by the reviewer's clock, or as imported
    received_at     TIMESTAMPTZ NOT NULL,
    supersedes      VARCHAR,
    surplus         BOOLEAN NOT NULL DEFAULT false,  -- beyond the round's overlap
    simulated       BOOLEAN NOT NULL DEFAULT false,  -- made by the demo, not by a person
    source          VARCHAR NOT NULL                 -- 'app', or the file it was imported from
);

CREATE TRIGGER label_keeps_on_delete AFTER DELETE ON label FOR EACH STATEMENT
    INSERT INTO refused SELECT error('labels are append-only: DELETE refused');
CREATE TRIGGER label_keeps_on_update AFTER UPDATE ON label FOR EACH STATEMENT
    INSERT INTO refused SELECT error('labels are append-only: UPDATE refused');

-- What counts now: rows that no later row supersedes.
CREATE VIEW current_label AS
    SELECT l.* FROM label l
    WHERE NOT EXISTS (SELECT 1 FROM label later WHERE later.supersedes = l.label_id);
