-- From traffic to pairs: traces, clusters, samples, replayed responses. Texts are stored stripped of personal data.

CREATE TABLE trace (
    trace_id     VARCHAR PRIMARY KEY,
    content_hash VARCHAR NOT NULL,                      -- HMAC of the record as it came in, before any redaction
    prompt_id    VARCHAR NOT NULL,                      -- the statistical cluster, as of pairs
    source       VARCHAR NOT NULL,                      -- file name or system it came from
    task         VARCHAR,
    messages     JSON NOT NULL USING COMPRESSION zstd,  -- OpenAI chat format, the input alone
    tools        JSON,
    parameters   JSON,                                  -- as logged: temperature, max_tokens, response_format …
    response     JSON USING COMPRESSION zstd,           -- what the stack of that time answered: domain.types.Output
    reference    VARCHAR,
    customer     VARCHAR,                               -- keyed hashes; the ids themselves are not stored
    conversation VARCHAR,
    ticket       VARCHAR,
    metadata     JSON,
    happened_at  TIMESTAMPTZ,
    synthetic    BOOLEAN NOT NULL,
    redactions   JSON,                                  -- {"PERSON": 2}; NULL: came in unstripped, by the configuration
    imported_at  TIMESTAMPTZ NOT NULL
);

-- One run of clustering: the settings, and what came out.
CREATE TABLE clustering (
    clustering_id VARCHAR PRIMARY KEY,
    model         VARCHAR NOT NULL,                     -- of the embedding
    settings      JSON NOT NULL,
    traces        INTEGER NOT NULL,
    noise         INTEGER NOT NULL,                     -- before they were given to the nearest cluster
    made_by       VARCHAR NOT NULL,
    made_at       TIMESTAMPTZ NOT NULL
);

-- A cluster keeps its id and name from week to week.
CREATE TABLE cluster (
    cluster_id VARCHAR PRIMARY KEY,
    born_in    VARCHAR NOT NULL,                        -- clustering_id
    name       VARCHAR NOT NULL,
    terms      VARCHAR[] NOT NULL,                      -- distinctive, most so first
    examples   VARCHAR[] NOT NULL,                      -- trace ids nearest to the centre
    model      VARCHAR NOT NULL,
    centroid   FLOAT[] NOT NULL,
    x          FLOAT,                                   -- place on the map
    y          FLOAT
);

CREATE TABLE assignment (
    trace_id      VARCHAR PRIMARY KEY,
    cluster_id    VARCHAR NOT NULL,                     -- 'noise' where no cluster is near enough
    similarity    FLOAT NOT NULL,                       -- cosine to the centroid
    x             FLOAT,
    y             FLOAT,
    clustering_id VARCHAR NOT NULL,
    assigned_at   TIMESTAMPTZ NOT NULL
);

-- One seeded sample of traces, known inclusion probability for all.
CREATE TABLE sample (
    sample_id   VARCHAR PRIMARY KEY,
    number      INTEGER NOT NULL UNIQUE,
    seed        UBIGINT NOT NULL,
    spec        JSON NOT NULL,
    window_from TIMESTAMPTZ,
    window_to   TIMESTAMPTZ,
    frame       INTEGER NOT NULL,                       -- traces in the window
    frame_hash  VARCHAR NOT NULL,
    strata      JSON NOT NULL,                          -- [{stratum, frame, drawn}]
    notes       VARCHAR[] NOT NULL,
    drawn_by    VARCHAR NOT NULL,
    drawn_at    TIMESTAMPTZ NOT NULL
);

CREATE TABLE sampled (
    sample_id VARCHAR NOT NULL,
    trace_id  VARCHAR NOT NULL,
    purpose   VARCHAR NOT NULL CHECK (purpose IN ('replay', 'audit')),
    position  INTEGER NOT NULL,
    stratum   VARCHAR NOT NULL,                         -- cluster_id, 'noise' or 'unclustered'
    pi        DOUBLE NOT NULL CHECK (pi > 0 AND pi <= 1),
    PRIMARY KEY (sample_id, trace_id, purpose)
);

-- What a stack answered. A stack is everything that shapes its answers: address, model, parameters.
CREATE TABLE response (
    trace_id    VARCHAR NOT NULL,
    stack       VARCHAR NOT NULL,                       -- SHA-256 of the endpoint's identity
    output      JSON NOT NULL USING COMPRESSION zstd,   -- domain.types.Output
    served      VARCHAR,                                -- the model's name as the server gave it
    attempts    INTEGER NOT NULL,
    cost_usd    DOUBLE,
    replayed_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (trace_id, stack)
);

-- What failed for good in a run; the next run tries again.
CREATE TABLE replay_failure (
    trace_id  VARCHAR NOT NULL,
    stack     VARCHAR NOT NULL,
    kind      VARCHAR NOT NULL,                         -- timeout, rate_limited, server_error, bad_body, refused …
    attempts  INTEGER NOT NULL,
    failed_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (trace_id, stack, failed_at)
);

-- Where a pair came from.
CREATE TABLE pair_origin (
    pair_id   VARCHAR PRIMARY KEY,
    trace_id  VARCHAR NOT NULL,
    sample_id VARCHAR NOT NULL,
    old_stack VARCHAR NOT NULL,
    new_stack VARCHAR NOT NULL
);
