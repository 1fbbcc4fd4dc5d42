-- Live traffic: which stack served a trace, what the other one answered beside it, and what only reports metrics.

-- A trace that came in as live traffic. Both answers, where there are two, stand in its pair.
CREATE TABLE live_trace (
    trace_id VARCHAR PRIMARY KEY,
    source   VARCHAR NOT NULL,                              -- 'shadow:NAME' or 'production:NAME', as of its pair
    served   VARCHAR CHECK (served IN ('old', 'new')),      -- whose answer trace.response is; NULL: nobody said
    pair_id  VARCHAR,                                       -- NULL: only one stack answered
    CHECK (pair_id IS NULL OR served IS NOT NULL)
);

-- Traffic whose inputs and outputs are dropped. No column can hold a text.
CREATE TABLE live_metric (
    metric_id         VARCHAR NOT NULL,
    side              VARCHAR NOT NULL CHECK (side IN ('old', 'new')),
    content_hash      VARCHAR NOT NULL,                     -- HMAC of the record as it came in
    source            VARCHAR NOT NULL,                     -- 'metrics:NAME'
    task              VARCHAR,
    happened_at       TIMESTAMPTZ NOT NULL,
    latency_ms        DOUBLE CHECK (latency_ms >= 0),
    timed_out         BOOLEAN,
    failed            BOOLEAN,
    refused           BOOLEAN,
    finish_reason     VARCHAR CHECK (regexp_full_match(finish_reason, '[a-z0-9_-]{1,40}')),
    characters        BIGINT CHECK (characters >= 0),
    prompt_tokens     BIGINT CHECK (prompt_tokens >= 0),
    completion_tokens BIGINT CHECK (completion_tokens >= 0),
    imported_at       TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (metric_id, side)
);

CREATE TRIGGER live_trace_keeps_on_delete AFTER DELETE ON live_trace FOR EACH STATEMENT
    INSERT INTO refused SELECT error('live traffic is append-only: DELETE refused');
CREATE TRIGGER live_trace_keeps_on_update AFTER UPDATE ON live_trace FOR EACH STATEMENT
    INSERT INTO refused SELECT error('live traffic is append-only: UPDATE refused');
CREATE TRIGGER live_metric_keeps_on_delete AFTER DELETE ON live_metric FOR EACH STATEMENT
    INSERT INTO refused SELECT error('metrics are append-only: DELETE refused');
CREATE TRIGGER live_metric_keeps_on_update AFTER UPDATE ON live_metric FOR EACH STATEMENT
    INSERT INTO refused SELECT error('metrics are append-only: UPDATE refused');
