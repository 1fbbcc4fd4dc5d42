-- Evaluation runs: a named candidate against a named baseline, and what each example came to, by kind of evidence.

CREATE TABLE run (
    run_id      VARCHAR PRIMARY KEY,
    number      INTEGER NOT NULL UNIQUE,
    name        VARCHAR NOT NULL UNIQUE,
    step        VARCHAR NOT NULL CHECK (step IN ('quantization', 'kernel', 'runtime', 'model', 'other')),
    baseline    JSON NOT NULL,                      -- domain.run.StackCard
    candidate   JSON NOT NULL,
    config_hash VARCHAR NOT NULL,                   -- SHA-256 of the configuration in force
    started_by  VARCHAR NOT NULL,
    started_at  TIMESTAMPTZ NOT NULL
);

-- One body of evidence of a run. The row is written last: an outcome counts when its part stands here.
CREATE TABLE run_part (
    run_id      VARCHAR NOT NULL,
    evidence    VARCHAR NOT NULL CHECK (evidence IN ('benchmark', 'golden', 'replay', 'shadow', 'adversarial')),
    part        VARCHAR NOT NULL,                   -- a benchmark's task, a golden version, a sample …
    source      VARCHAR,                            -- pair.source of its pairs, where it has pairs
    data_hash   VARCHAR NOT NULL,                   -- SHA-256 of the data it was made from
    examples    INTEGER NOT NULL,
    detail      JSON NOT NULL,                      -- versions, prompts' hashes, few-shot: what makes parts comparable
    cost_usd    DOUBLE NOT NULL,
    recorded_by VARCHAR NOT NULL,
    recorded_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (run_id, evidence, part)
);

-- What one example came to. See domain.run.Outcome.
CREATE TABLE outcome (
    run_id        VARCHAR NOT NULL,
    evidence      VARCHAR NOT NULL,
    part          VARCHAR NOT NULL,
    example_id    VARCHAR NOT NULL,                 -- the same in every run
    metric        VARCHAR NOT NULL,
    repeat        INTEGER NOT NULL,                 -- 0; 1 and more: asked once more, old alone is the noise floor
    prompt_id     VARCHAR NOT NULL,                 -- the statistical cluster
    task          VARCHAR,
    pair_id       VARCHAR,
    old           DOUBLE CHECK (old BETWEEN 0 AND 1),
    new           DOUBLE CHECK (new BETWEEN 0 AND 1),
    same          BOOLEAN NOT NULL,                 -- both answered the same: the difference is 0 whatever the values
    decided_by    VARCHAR NOT NULL,                 -- 'metric', 'known', 'structured', 'label' or 'judge NAME'
    weight        DOUBLE NOT NULL,                  -- examples of traffic that it stands for; 1 outside of samples
    prompt_tokens BIGINT,
    steps         INTEGER,                          -- of a chain of tool calls; NULL: no chain
    old_steps     INTEGER,                          -- right ones before the first wrong one
    new_steps     INTEGER,
    old_cut       BOOLEAN,                          -- a truncated call or answer
    new_cut       BOOLEAN,
    PRIMARY KEY (run_id, evidence, part, example_id, metric, repeat)
);

CREATE TRIGGER run_keeps_on_delete AFTER DELETE ON run FOR EACH STATEMENT
    INSERT INTO refused SELECT error('runs are append-only: DELETE refused');
CREATE TRIGGER run_keeps_on_update AFTER UPDATE ON run FOR EACH STATEMENT
    INSERT INTO refused SELECT error('runs are append-only: UPDATE refused');
CREATE TRIGGER run_part_keeps_on_delete AFTER DELETE ON run_part FOR EACH STATEMENT
    INSERT INTO refused SELECT error('runs are append-only: DELETE refused');
CREATE TRIGGER run_part_keeps_on_update AFTER UPDATE ON run_part FOR EACH STATEMENT
    INSERT INTO refused SELECT error('runs are append-only: UPDATE refused');
CREATE TRIGGER outcome_keeps_on_update AFTER UPDATE ON outcome FOR EACH STATEMENT
    INSERT INTO refused SELECT error('runs are append-only: UPDATE refused');
-- Outcomes of a part that did not get to its end may go; those of a part that stands may not.
CREATE TRIGGER outcome_keeps_on_delete AFTER DELETE ON outcome FOR EACH STATEMENT
    INSERT INTO refused
    SELECT error('runs are append-only: DELETE refused')
    FROM run_part p
    WHERE p.examples <> (
        SELECT count(DISTINCT (o.example_id, o.metric, o.repeat)) FROM outcome o
        WHERE o.run_id = p.run_id AND o.evidence = p.evidence AND o.part = p.part
    );

-- Pairs of benchmarks, golden sets and the adversarial set say nothing about the shares of traffic.
CREATE MACRO of_traffic(source) AS NOT regexp_matches(source, '^(benchmark|golden|adversarial):');
