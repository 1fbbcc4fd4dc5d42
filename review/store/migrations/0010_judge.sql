-- What machines said about pairs: structured outcomes, judge runs, every paid call, anchors, and the cache's audit.

-- A pair's tool calls or JSON answers compared. Append-only: a comparison by another version is a further row, and the
-- newest counts. No value of an answer stands here.
CREATE TABLE structured_outcome (
    pair_id        VARCHAR NOT NULL,
    version        VARCHAR NOT NULL,             -- 'exact', or the argument judge and its rubric
    outcome        VARCHAR NOT NULL CHECK (outcome IN
                       ('same', 'other_arguments', 'other_tool', 'missing', 'extra', 'broken')),
    differs        BOOLEAN NOT NULL,             -- the pair is a structured disagreement
    settled        BOOLEAN NOT NULL,             -- the same, and no text is left to judge
    detail         JSON NOT NULL,                -- domain.structured.Comparison.detail(): fields by path
    judge          VARCHAR,                      -- who compared arguments that differ
    arguments_same BOOLEAN,                      -- what it said; NULL: not asked, or not readable
    made_at        TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (pair_id, version)
);

CREATE VIEW structured AS
    SELECT pair_id, arg_max(differs, made_at) AS differs, arg_max(settled, made_at) AS settled
    FROM structured_outcome GROUP BY pair_id;

-- A judge's name in `verdict`: the served model's own, with a mark added where somebody has that name already.
CREATE TABLE judge_name (
    judge  VARCHAR PRIMARY KEY,
    served VARCHAR NOT NULL,
    way    VARCHAR NOT NULL,                     -- SHA-256 of rubric version, votes and temperature
    UNIQUE (served, way)
);

CREATE TABLE judge_run (
    run_id     VARCHAR PRIMARY KEY,
    recipe     VARCHAR NOT NULL,                 -- SHA-256 of judge model, rubric version, votes, temperature
    model      VARCHAR NOT NULL,                 -- as configured
    rubric     VARCHAR NOT NULL,                 -- version of prompt and rubric
    started_by VARCHAR NOT NULL,
    started_at TIMESTAMPTZ NOT NULL
);

CREATE TABLE judge_run_end (
    run_id   VARCHAR PRIMARY KEY,
    reason   VARCHAR NOT NULL,                   -- done, limit, budget, no_provider
    semantic VARCHAR NOT NULL,                   -- whether the semantic cache was on, and why not
    ended_at TIMESTAMPTZ NOT NULL
);

-- Every reply that was paid for.
CREATE TABLE judge_call (
    call_key      VARCHAR PRIMARY KEY,           -- the key of its reply in the cache
    run_id        VARCHAR NOT NULL,
    pair_id       VARCHAR NOT NULL,
    purpose       VARCHAR NOT NULL CHECK (purpose IN ('vote', 'arguments', 'anchor', 'audit')),
    provider      VARCHAR NOT NULL,
    served        VARCHAR NOT NULL,
    input_tokens  BIGINT,
    output_tokens BIGINT,
    cost_usd      DOUBLE NOT NULL,
    latency_ms    DOUBLE,
    attempts      INTEGER NOT NULL,
    called_at     TIMESTAMPTZ NOT NULL
);

-- A pair judged by a recipe, and what its verdict cost and saved.
CREATE TABLE judge_comparison (
    pair_id   VARCHAR NOT NULL,
    recipe    VARCHAR NOT NULL,
    run_id    VARCHAR NOT NULL,
    judge     VARCHAR NOT NULL,
    source    VARCHAR NOT NULL CHECK (source IN ('asked', 'exact', 'semantic')),
    original  VARCHAR,                           -- the near-duplicate whose verdict it has
    cost_usd  DOUBLE NOT NULL,
    saved_usd DOUBLE NOT NULL,
    made_at   TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (pair_id, recipe)
);

-- What could not be judged in a run; the next run tries again.
CREATE TABLE judge_failure (
    run_id    VARCHAR NOT NULL,
    pair_id   VARCHAR NOT NULL,
    kind      VARCHAR NOT NULL,
    failed_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (run_id, pair_id, failed_at)
);

-- Pairs chosen once at random, judged anew in every run.
CREATE TABLE anchor (
    pair_id   VARCHAR PRIMARY KEY,
    position  INTEGER NOT NULL UNIQUE,
    chosen_at TIMESTAMPTZ NOT NULL
);

CREATE TABLE anchor_vote (
    run_id      VARCHAR NOT NULL,
    pair_id     VARCHAR NOT NULL,
    vote        INTEGER NOT NULL,
    judge       VARCHAR NOT NULL,
    shown_first VARCHAR NOT NULL CHECK (shown_first IN ('old', 'new')),
    winner      VARCHAR CHECK (winner IN ('old', 'new', 'tie')),
    made_at     TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (run_id, pair_id, vote)
);

-- A near-duplicate judged by itself: what the cache would have said, what the judge says, and what it says when its
-- first verdict on the original is simply asked for again.
CREATE TABLE judge_audit (
    pair_id  VARCHAR NOT NULL,
    recipe   VARCHAR NOT NULL,
    run_id   VARCHAR NOT NULL,
    judge    VARCHAR NOT NULL,
    original VARCHAR NOT NULL,
    cached   VARCHAR NOT NULL,                   -- old, new, tie, inconsistent, unresolved, unparsable
    fresh    VARCHAR NOT NULL,
    again    VARCHAR,                            -- NULL: the original was not judged anew
    made_at  TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (pair_id, recipe)
);
