-- Where inputs that are no traces belong: prompts of an imported eval suite, and pairs that came without a trace.

CREATE TABLE suite_prompt (
    suite_prompt_id VARCHAR PRIMARY KEY,          -- HMAC of the text as it came in, before any redaction
    suite           VARCHAR NOT NULL,             -- name of the file it came from first
    text            VARCHAR NOT NULL,
    redactions      JSON,                         -- {"PERSON": 2}; NULL: came in unstripped, by the configuration
    imported_by     VARCHAR NOT NULL,
    imported_at     TIMESTAMPTZ NOT NULL
);

-- Cluster of an input that is no trace. `input_id` is a prompt_id of pairs, or a suite_prompt_id.
CREATE TABLE input_cluster (
    input_id    VARCHAR PRIMARY KEY,
    cluster_id  VARCHAR NOT NULL,                 -- 'noise' where no cluster is near enough
    similarity  FLOAT NOT NULL,                   -- cosine to the centroid
    assigned_at TIMESTAMPTZ NOT NULL
);

-- Clusters that `review cluster --fresh` replaced. Their rows stay, because rounds and samples name them.
CREATE TABLE cluster_retired (
    cluster_id VARCHAR PRIMARY KEY,
    retired_at TIMESTAMPTZ NOT NULL
);
