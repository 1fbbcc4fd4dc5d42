-- The golden set: curated prompts with a good response and rubric items; what people decided, froze and scored.

-- Each version of each item. A changed item is a further row; nothing here is ever changed.
CREATE TABLE golden_item (
    item_hash    VARCHAR PRIMARY KEY,            -- SHA-256 of the canonical form (domain.golden.Item)
    item_id      VARCHAR NOT NULL,
    prompt_id    VARCHAR NOT NULL,               -- of messages and tools; the statistical cluster
    task         VARCHAR,
    messages     JSON NOT NULL,
    tools        JSON,
    reference    VARCHAR NOT NULL,
    rubric       JSON NOT NULL,                  -- [{"item": "…", "weight": 1.0}]
    content_hash VARCHAR NOT NULL,               -- keyed hash of what came in, before any redaction
    redactions   JSON NOT NULL,
    source       VARCHAR NOT NULL,               -- the file's name, 'app', or 'draft'
    model        VARCHAR,                        -- of a draft: who wrote reference and rubric
    trace_id     VARCHAR,                        -- of a draft: whose prompt it is
    cluster_id   VARCHAR,                        -- of a draft: the cluster that lacked coverage
    synthetic    BOOLEAN NOT NULL DEFAULT false, -- of a draft: nobody has asked this
    added_by     VARCHAR NOT NULL,
    added_at     TIMESTAMPTZ NOT NULL
);

-- What became of items, in order. See domain.golden.fold.
CREATE TABLE golden_event (
    number    BIGINT PRIMARY KEY,                -- from 1, in order
    item_id   VARCHAR NOT NULL,
    item_hash VARCHAR NOT NULL,
    kind      VARCHAR NOT NULL CHECK (kind IN ('imported', 'drafted', 'edited', 'accepted', 'rejected', 'undone')),
    reason    VARCHAR,                           -- of a rejection
    acted_by  VARCHAR NOT NULL,
    acted_at  TIMESTAMPTZ NOT NULL
);

-- A frozen set: its version is the SHA-256 of its items' hashes.
CREATE TABLE golden_version (
    version   VARCHAR PRIMARY KEY,
    number    INTEGER NOT NULL UNIQUE,
    name      VARCHAR UNIQUE,
    items     INTEGER NOT NULL,
    frozen_by VARCHAR NOT NULL,
    frozen_at TIMESTAMPTZ NOT NULL
);
CREATE TABLE golden_version_item (
    version   VARCHAR NOT NULL,
    item_id   VARCHAR NOT NULL,
    item_hash VARCHAR NOT NULL,
    PRIMARY KEY (version, item_id)
);

-- Both stacks' answers to a version of an item, and which run has them. The same answers again are the same row.
CREATE TABLE golden_answers (
    answers_id VARCHAR PRIMARY KEY,              -- keyed hash of item version and answers
    item_hash  VARCHAR NOT NULL,
    old        JSON NOT NULL,                    -- domain.types.Output
    new        JSON NOT NULL,
    made_at    TIMESTAMPTZ NOT NULL
);
CREATE TABLE golden_asked (
    run_id     VARCHAR NOT NULL,
    version    VARCHAR NOT NULL,
    item_id    VARCHAR NOT NULL,
    answers_id VARCHAR NOT NULL,
    asked_at   TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (run_id, version, item_id)
);

-- What a judge or a person said of one rubric item. A person's newer row counts instead of an older one.
CREATE TABLE golden_score (
    score_id    VARCHAR PRIMARY KEY,
    answers_id  VARCHAR NOT NULL,
    rubric      INTEGER NOT NULL,                -- its place, from 1
    kind        VARCHAR NOT NULL CHECK (kind IN ('judge', 'person')),
    scored_by   VARCHAR NOT NULL,
    old         BOOLEAN,                         -- NULL: undecided, or cannot be told
    new         BOOLEAN,
    shown_first VARCHAR CHECK (shown_first IN ('old', 'new')),
    scored_at   TIMESTAMPTZ NOT NULL
);

CREATE TRIGGER golden_item_keeps_on_delete AFTER DELETE ON golden_item FOR EACH STATEMENT
    INSERT INTO refused SELECT error('the golden set is append-only: DELETE refused');
CREATE TRIGGER golden_item_keeps_on_update AFTER UPDATE ON golden_item FOR EACH STATEMENT
    INSERT INTO refused SELECT error('the golden set is append-only: UPDATE refused');
CREATE TRIGGER golden_event_keeps_on_delete AFTER DELETE ON golden_event FOR EACH STATEMENT
    INSERT INTO refused SELECT error('the golden set is append-only: DELETE refused');
CREATE TRIGGER golden_event_keeps_on_update AFTER UPDATE ON golden_event FOR EACH STATEMENT
    INSERT INTO refused SELECT error('the golden set is append-only: UPDATE refused');
CREATE TRIGGER golden_version_keeps_on_delete AFTER DELETE ON golden_version FOR EACH STATEMENT
    INSERT INTO refused SELECT error('frozen golden sets are append-only: DELETE refused');
CREATE TRIGGER golden_version_keeps_on_update AFTER UPDATE ON golden_version FOR EACH STATEMENT
    INSERT INTO refused SELECT error('frozen golden sets are append-only: UPDATE refused');
CREATE TRIGGER golden_version_item_keeps_on_delete AFTER DELETE ON golden_version_item FOR EACH STATEMENT
    INSERT INTO refused SELECT error('frozen golden sets are append-only: DELETE refused');
CREATE TRIGGER golden_version_item_keeps_on_update AFTER UPDATE ON golden_version_item FOR EACH STATEMENT
    INSERT INTO refused SELECT error('frozen golden sets are append-only: UPDATE refused');
CREATE TRIGGER golden_score_keeps_on_delete AFTER DELETE ON golden_score FOR EACH STATEMENT
    INSERT INTO refused SELECT error('golden scores are append-only: DELETE refused');
CREATE TRIGGER golden_score_keeps_on_update AFTER UPDATE ON golden_score FOR EACH STATEMENT
    INSERT INTO refused SELECT error('golden scores are append-only: UPDATE refused');
