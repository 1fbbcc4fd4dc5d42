-- Watching after the cutover: what was taken in, one observation a pair, scores, detectors, alerts and their delivery.

-- A file of the watched folder that was read to its end.
CREATE TABLE watch_file (
    file         VARCHAR NOT NULL,
    content_hash VARCHAR NOT NULL,                  -- SHA-256 of its bytes
    read         INTEGER NOT NULL,
    new          INTEGER NOT NULL,
    rejected     INTEGER NOT NULL,
    problem      VARCHAR,                           -- why nothing of it was taken; NULL: it was
    taken_at     TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (file, content_hash)
);

-- What one exchange showed, without a text. Written once.
CREATE TABLE observation (
    observed_id    VARCHAR PRIMARY KEY,             -- pair_id; trace_id where only one stack's answer is known
    trace_id       VARCHAR,
    pair_id        VARCHAR,
    prompt_id      VARCHAR NOT NULL,                -- the statistical cluster
    task           VARCHAR NOT NULL,                -- '' where none is named
    cluster_id     VARCHAR,                         -- as it was then
    source         VARCHAR NOT NULL,
    happened_at    TIMESTAMPTZ NOT NULL,
    identical      BOOLEAN NOT NULL,
    chosen         BOOLEAN NOT NULL,                -- belongs to the sample whose scores count
    old_right      BOOLEAN, new_right      BOOLEAN,
    old_refused    BOOLEAN, new_refused    BOOLEAN,
    old_cut        BOOLEAN, new_cut        BOOLEAN,
    old_confidence DOUBLE,  new_confidence DOUBLE,
    old_latency_ms DOUBLE,  new_latency_ms DOUBLE,
    old_tokens     BIGINT,  new_tokens     BIGINT,
    old_characters BIGINT,  new_characters BIGINT,
    old_finish     VARCHAR, new_finish     VARCHAR,
    traits         JSON,                            -- {"words": [old, new], …}
    observed_at    TIMESTAMPTZ NOT NULL
);

-- What an observation came to: new - old, once it is known. Written once.
CREATE TABLE watch_score (
    observed_id VARCHAR PRIMARY KEY,
    task        VARCHAR NOT NULL,
    place       BIGINT NOT NULL,                    -- from 1, in each task
    difference  DOUBLE NOT NULL CHECK (difference BETWEEN -1 AND 1),
    decided_by  VARCHAR NOT NULL,                   -- 'same', 'known' or 'judge NAME'
    scored_at   TIMESTAMPTZ NOT NULL,
    UNIQUE (task, place)
);

-- How a task is watched from a moment on, fixed before it is looked at. The newest plan of a task holds.
CREATE TABLE watch_plan (
    task        VARCHAR NOT NULL,
    number      INTEGER NOT NULL,
    batch       INTEGER NOT NULL,                   -- plans made together: batch j has 1/(j (j + 1)) of all false alarms
    tolerance   DOUBLE NOT NULL,
    discordance DOUBLE NOT NULL,                    -- taken for the planning: an upper limit
    per_day     DOUBLE NOT NULL,
    plan        JSON NOT NULL,                      -- stats.edetector.Plan
    delay       JSON NOT NULL,                      -- what is to be expected for a drift of one tolerance
    made_at     TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (task, number)
);

-- A task's detector after some scores. The newest row of a plan is where it goes on.
CREATE TABLE watch_detector (
    task     VARCHAR NOT NULL,
    plan     INTEGER NOT NULL,
    number   INTEGER NOT NULL,
    last     BIGINT NOT NULL,                       -- place of the last score that it has seen
    seen_to  TIMESTAMPTZ NOT NULL,                  -- the hour of traffic that it has reached
    n        BIGINT NOT NULL,                       -- values since the last alarm
    total    DOUBLE NOT NULL,                       -- and their sum
    evidence DOUBLE NOT NULL,                       -- 0 nothing, 1 an alarm
    state    JSON NOT NULL,                         -- stats.edetector.State
    made_at  TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (task, plan, number)
);

-- The detector said so. An alert is made of it unless one of the task is open.
CREATE TABLE watch_alarm (
    task     VARCHAR NOT NULL,
    number   INTEGER NOT NULL,
    detector VARCHAR NOT NULL CHECK (detector IN ('e-detector', 'cusum')),
    seen_at  TIMESTAMPTZ NOT NULL,                  -- the hour of traffic
    since    TIMESTAMPTZ NOT NULL,                  -- the hour in which what it sees began
    evidence DOUBLE NOT NULL,
    n        BIGINT NOT NULL,
    place    BIGINT NOT NULL,                       -- of the last score that it had seen
    made_at  TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (task, number)
);

-- An alert says what was known when it was raised. Ids and counts, never a text.
CREATE TABLE watch_alert (
    alert_id  VARCHAR PRIMARY KEY,
    number    INTEGER NOT NULL UNIQUE,
    kind      VARCHAR NOT NULL CHECK (kind IN ('regression', 'judge')),
    task      VARCHAR NOT NULL,
    alarm     INTEGER,                              -- of a regression: the detector's
    since     TIMESTAMPTZ,                          -- the estimated change
    document  JSON NOT NULL,
    raised_at TIMESTAMPTZ NOT NULL
);

-- What people did about an alert or a task: acknowledged it, or silenced the task until a moment.
CREATE TABLE watch_answer (
    answer_id   VARCHAR PRIMARY KEY,
    kind        VARCHAR NOT NULL CHECK (kind IN ('acknowledge', 'silence')),
    alert_id    VARCHAR,                            -- of an acknowledgement
    task        VARCHAR,                            -- of a silence; NULL: every task
    until       TIMESTAMPTZ,
    comment     VARCHAR NOT NULL,
    answered_by VARCHAR NOT NULL,
    answered_at TIMESTAMPTZ NOT NULL
);

-- Who is about to deliver an alert, and how that went. An attempt without an end was interrupted and is made again.
CREATE TABLE watch_attempt (
    alert_id   VARCHAR NOT NULL,
    channel    VARCHAR NOT NULL,
    attempt    INTEGER NOT NULL,
    claimed_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (alert_id, channel, attempt)
);
CREATE TABLE watch_attempt_end (
    alert_id VARCHAR NOT NULL,
    channel  VARCHAR NOT NULL,
    attempt  INTEGER NOT NULL,
    problem  VARCHAR,                               -- NULL: delivered
    ended_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (alert_id, channel, attempt)
);

-- A round that came to its end.
CREATE TABLE watch_round (
    number     INTEGER PRIMARY KEY,
    started_at TIMESTAMPTZ NOT NULL,
    ended_at   TIMESTAMPTZ NOT NULL,
    files      INTEGER NOT NULL,
    observed   INTEGER NOT NULL,
    scored     INTEGER NOT NULL,
    alerts     INTEGER NOT NULL,
    notes      VARCHAR[] NOT NULL,
    run_by     VARCHAR NOT NULL
);

CREATE TRIGGER observation_keeps_on_delete AFTER DELETE ON observation FOR EACH STATEMENT
    INSERT INTO refused SELECT error('observations are append-only: DELETE refused');
CREATE TRIGGER observation_keeps_on_update AFTER UPDATE ON observation FOR EACH STATEMENT
    INSERT INTO refused SELECT error('observations are append-only: UPDATE refused');
CREATE TRIGGER watch_score_keeps_on_delete AFTER DELETE ON watch_score FOR EACH STATEMENT
    INSERT INTO refused SELECT error('scores are append-only: DELETE refused');
CREATE TRIGGER watch_score_keeps_on_update AFTER UPDATE ON watch_score FOR EACH STATEMENT
    INSERT INTO refused SELECT error('scores are append-only: UPDATE refused');
CREATE TRIGGER watch_alert_keeps_on_delete AFTER DELETE ON watch_alert FOR EACH STATEMENT
    INSERT INTO refused SELECT error('alerts are append-only: DELETE refused');
CREATE TRIGGER watch_alert_keeps_on_update AFTER UPDATE ON watch_alert FOR EACH STATEMENT
    INSERT INTO refused SELECT error('alerts are append-only: UPDATE refused');
CREATE TRIGGER watch_answer_keeps_on_delete AFTER DELETE ON watch_answer FOR EACH STATEMENT
    INSERT INTO refused SELECT error('answers to alerts are append-only: DELETE refused');
CREATE TRIGGER watch_answer_keeps_on_update AFTER UPDATE ON watch_answer FOR EACH STATEMENT
    INSERT INTO refused SELECT error('answers to alerts are append-only: UPDATE refused');

-- What an alert of a regression is about: the task's live pairs from the change until it was raised. Rounds draw from it.
CREATE VIEW alert_pair AS
    SELECT a.alert_id, o.pair_id
    FROM watch_alert a JOIN observation o
        ON o.task = a.task AND o.happened_at >= a.since AND o.observed_at <= a.raised_at
    WHERE a.kind = 'regression' AND o.pair_id IS NOT NULL;
ALTER TABLE round ADD COLUMN alert VARCHAR;             -- only pairs of this alert could be drawn; NULL: all
