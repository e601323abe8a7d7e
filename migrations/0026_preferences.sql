-- How somebody reads the panel, whichever browser they use. Users are the pool's; the company's own have no other row here.

CREATE TABLE user_preferences (
    user_id text PRIMARY KEY CHECK (length(user_id) BETWEEN 1 AND 255),
    preferences jsonb NOT NULL CHECK (jsonb_typeof(preferences) = 'object'),
    updated_at timestamptz NOT NULL DEFAULT now()
);
GRANT SELECT ON user_preferences TO painel_internal;
