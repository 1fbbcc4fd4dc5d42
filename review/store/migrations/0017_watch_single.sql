-- Watching traffic that new answers alone: what single answers came to, old's as the baseline, and which stream is which.

-- What one answer came to by itself. Written once for each way of saying so.
CREATE TABLE watch_verdict (
    answer_id   VARCHAR NOT NULL,                   -- of new: the observation; of old: its pair, or its trace
    side        VARCHAR NOT NULL CHECK (side IN ('old', 'new')),
    way         VARCHAR NOT NULL,                   -- 'known', or 'judge NAME HASH': the judge, and criterion and votes
    task        VARCHAR NOT NULL,
    prompt_id   VARCHAR NOT NULL,
    cluster_id  VARCHAR,
    happened_at TIMESTAMPTZ NOT NULL,
    place       BIGINT NOT NULL,                    -- from 1, in each task and side
    verdict     VARCHAR NOT NULL CHECK (verdict IN ('passed', 'failed', 'undecided')),
    judged_at   TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (answer_id, side, way),
    UNIQUE (task, side, place)
);
CREATE TRIGGER watch_verdict_keeps_on_delete AFTER DELETE ON watch_verdict FOR EACH STATEMENT
    INSERT INTO refused SELECT error('verdicts on single answers are append-only: DELETE refused');
CREATE TRIGGER watch_verdict_keeps_on_update AFTER UPDATE ON watch_verdict FOR EACH STATEMENT
    INSERT INTO refused SELECT error('verdicts on single answers are append-only: UPDATE refused');

-- Of single answers: {way, n, passed, rate, floor} of old; NULL: pairs are watched.
ALTER TABLE watch_plan ADD COLUMN baseline JSON;
-- The plan under which it was raised; NULL: one of pairs.
ALTER TABLE watch_alarm ADD COLUMN plan INTEGER;
