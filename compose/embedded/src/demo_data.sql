-- What a first start fills the database with: the same every time, but for its dates, which end yesterday.

-- A number from 0 to 1 that depends on the text alone.
CREATE FUNCTION pg_temp.noise(seed text) RETURNS double precision LANGUAGE sql IMMUTABLE AS $$
    SELECT ('x' || substr(md5(seed), 1, 8))::bit(32)::bigint / 4294967295.0
$$;

CREATE FUNCTION pg_temp.id(seed text) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT md5('painel demo ' || seed)::uuid
$$;

CREATE TEMP TABLE demo ON COMMIT DROP AS
SELECT * FROM (VALUES
    (1, 'Padaria Pão Quente', '112223330001', 'varejo', 'starter', 'active', 49900),
    (2, 'Clínica Vida Plena', '112223330002', 'saude', 'professional', 'active', 149900),
    (3, 'Escola Horizonte', '112223330003', 'educacao', 'professional', 'active', 149900),
    (4, 'Construtora Alicerce', '112223330004', 'servicos', 'enterprise', 'active', 499900),
    (5, 'Mercado Bom Preço', '112223330005', 'varejo', 'professional', 'active', 149900),
    (6, 'Hospital Santa Clara', '112223330006', 'saude', 'enterprise', 'active', 599900),
    (7, 'Faculdade Novo Saber', '112223330007', 'educacao', 'enterprise', 'active', 499900),
    (8, 'Contábil Exata', '112223330008', 'servicos', 'starter', 'active', 49900),
    (9, 'Loja Estrela', '112223330009', 'varejo', 'starter', 'active', 49900),
    (10, 'Laboratório Análise', '112223330010', 'saude', 'starter', 'active', 49900),
    (11, 'Curso Aprova', '112223330011', 'educacao', 'starter', 'suspended', 49900),
    (12, 'Transportes Rota', '11ABC3330012', 'servicos', 'professional', 'inactive', 0)
) AS t (n, name, cnpj_base, segment, plan, status, mrr_cents);

INSERT INTO tenants (id, name, cnpj, segment, plan, status, mrr_estimate_cents, created_at)
SELECT pg_temp.id('tenant ' || n), name, cnpj_base || cnpj_check_digits(cnpj_base), segment, plan, status, mrr_cents,
       date_trunc('day', now()) - make_interval(days => 420 - n * 25)
FROM demo;

INSERT INTO tenant_users (id, tenant_id, cognito_sub, email, full_name, role, last_login_at)
SELECT pg_temp.id(format('user %s %s', n, u)), pg_temp.id('tenant ' || n),
       -- The first of each is whom `painel token` makes tokens for.
       CASE u WHEN 1 THEN format('development-tenant-%s', pg_temp.id('tenant ' || n)) ELSE format('demo-user-%s-%s', n, u) END,
       format('pessoa%s@cliente%s.example', u, n), format('Pessoa %s do Cliente %s', u, n),
       (ARRAY['admin', 'user', 'viewer'])[u],
       date_trunc('hour', now()) - make_interval(hours => (pg_temp.noise(format('login %s %s', n, u)) * 200)::int)
FROM demo, generate_series(1, 3) AS u;

INSERT INTO agents (id, name, segment)
SELECT pg_temp.id('agent ' || name), name, segment
FROM (VALUES ('Atendente Virtual', 'varejo'), ('Agendador', 'saude'), ('Tutor', 'educacao'),
             ('Analista de Contratos', 'servicos'), ('Cobrador Amigável', 'servicos'),
             ('Pesquisador', 'educacao')) AS a (name, segment);

-- No more agents than the plan has room for; everybody has the first two.
INSERT INTO tenant_agents (tenant_id, agent_id, status, config, activated_at)
SELECT pg_temp.id('tenant ' || n), agent_id,
       CASE WHEN status = 'active' THEN 'active' ELSE 'inactive' END,
       jsonb_build_object('language', 'pt-BR', 'temperature', round(pg_temp.noise(agent || n)::numeric, 1)),
       date_trunc('day', now()) - interval '100 days'
FROM (
    SELECT d.n, d.status, d.plan, a.id AS agent_id, a.name AS agent,
           row_number() OVER (PARTITION BY d.n ORDER BY a.name NOT IN ('Atendente Virtual', 'Agendador'),
                              pg_temp.noise(format('rents %s %s', d.n, a.name))) AS place
    FROM demo d, agents a
) AS wanted
WHERE place <= CASE plan WHEN 'starter' THEN 3 WHEN 'professional' THEN 4 ELSE 6 END;

-- How much each of them is asked on a day: more from month to month, less at weekends, most where the plan is largest.
CREATE FUNCTION pg_temp.asked(tenant_agent integer, day date) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT (CASE t.plan WHEN 'starter' THEN 30 WHEN 'professional' THEN 80 ELSE 220 END
            * (1.3 - 0.006 * ((now() AT TIME ZONE 'UTC')::date - day))
            * CASE WHEN extract(isodow FROM day) > 5 THEN 0.55 ELSE 1 END
            * (0.7 + 0.6 * pg_temp.noise(format('total %s %s', ta.id, day))))::bigint
    FROM tenant_agents ta JOIN tenants t ON t.id = ta.tenant_id WHERE ta.id = tenant_agent
$$;

-- The last three days, request by request.
SELECT ensure_agent_requests_partitions((now() AT TIME ZONE 'UTC')::date - 3, (now() AT TIME ZONE 'UTC')::date + 2);

INSERT INTO agent_requests (tenant_agent_id, response_time_ms, tokens_used, status, created_at)
SELECT ta.id,
       (80 + 900 * pg_temp.noise(format('time %s %s %s', ta.id, d, r)) ^ 3)::int,
       (100 + 900 * pg_temp.noise(format('tokens %s %s %s', ta.id, d, r)))::int,
       (CASE WHEN pg_temp.noise(format('status %s %s %s', ta.id, d, r)) < 0.96 THEN 'success'
             WHEN pg_temp.noise(format('status %s %s %s', ta.id, d, r)) < 0.99 THEN 'error'
             ELSE 'timeout' END)::request_status,
       (((now() AT TIME ZONE 'UTC')::date - d)::timestamp
           + make_interval(secs => 86399 * pg_temp.noise(format('at %s %s %s', ta.id, d, r)))) AT TIME ZONE 'UTC'
FROM tenant_agents ta, generate_series(1, 3) AS d,
     generate_series(1, pg_temp.asked(ta.id, (now() AT TIME ZONE 'UTC')::date - d)) AS r
WHERE ta.status = 'active';

-- Ninety days of usage; the last three are what the requests above add up to.
INSERT INTO tenant_usage_daily (tenant_id, agent_id, date, total_requests, successful_requests, failed_requests,
                                success_rate, avg_response_time_ms, total_tokens_used,
                                latency_buckets, latency_counts)
SELECT ta.tenant_id, ta.agent_id, d.date, sum(d.total), sum(d.successful), sum(d.total - d.successful),
       round(100.0 * sum(d.successful) / sum(d.total), 2), sum(d.time) / sum(d.total), sum(d.tokens),
       array_agg(d.bucket ORDER BY d.bucket), array_agg(d.total ORDER BY d.bucket)
FROM (
    SELECT tenant_agent_id, (created_at AT TIME ZONE 'UTC')::date AS date, latency_bucket(response_time_ms) AS bucket,
           count(*) AS total, count(*) FILTER (WHERE status = 'success') AS successful,
           sum(response_time_ms) AS time, sum(tokens_used) AS tokens
    FROM agent_requests GROUP BY 1, 2, 3
) AS d JOIN tenant_agents ta ON ta.id = d.tenant_agent_id
GROUP BY 1, 2, 3;

INSERT INTO tenant_usage_daily (tenant_id, agent_id, date, total_requests, successful_requests, failed_requests,
                                success_rate, avg_response_time_ms, total_tokens_used,
                                latency_buckets, latency_counts)
SELECT tenant_id, agent_id, date, total, total - failed, failed, round(100.0 * (total - failed) / total, 2), ms, total * 450,
       ARRAY[latency_bucket((ms * 0.5)::int), latency_bucket((ms * 1.6)::int), latency_bucket((ms * 2.6)::int)],
       ARRAY[total * 65 / 100, total - total * 65 / 100 - total * 8 / 100, total * 8 / 100]
FROM (
    SELECT ta.tenant_id, ta.agent_id, ta.id, (now() AT TIME ZONE 'UTC')::date - d AS date,
           pg_temp.asked(ta.id, (now() AT TIME ZONE 'UTC')::date - d) AS total,
           (pg_temp.asked(ta.id, (now() AT TIME ZONE 'UTC')::date - d)
            * (0.02 + 0.05 * pg_temp.noise(format('failed %s %s', ta.id, d)) ^ 2))::bigint AS failed,
           250 + 100 * pg_temp.noise(format('avg %s %s', ta.id, d)) AS ms
    FROM tenant_agents ta, generate_series(4, 90) AS d
    WHERE ta.status = 'active'
) AS days;

UPDATE tenant_agents ta
SET total_requests = u.requests, total_errors = u.errors, total_response_time_ms = u.time, last_request_at = l.at,
    last_used_at = l.at
FROM (SELECT tenant_id, agent_id, sum(total_requests) AS requests, sum(failed_requests) AS errors,
             sum(round(avg_response_time_ms * total_requests)) AS time
      FROM tenant_usage_daily GROUP BY 1, 2) AS u
JOIN tenant_agents own ON own.tenant_id = u.tenant_id AND own.agent_id = u.agent_id
JOIN (SELECT tenant_agent_id, max(created_at) AS at FROM agent_requests GROUP BY 1) AS l ON l.tenant_agent_id = own.id
WHERE ta.id = own.id;

SELECT sum_up_usage(min(date), max(date)) FROM tenant_usage_daily;

INSERT INTO tenant_integrations (id, tenant_id, type, name, status, last_sync_at, last_error)
SELECT pg_temp.id(format('integration %s %s', n, type)), pg_temp.id('tenant ' || n), type, label,
       CASE WHEN pg_temp.noise(format('broken %s %s', n, type)) < 0.15 OR (n, type) = (1, 'crm') THEN 'error'
            WHEN pg_temp.noise(format('broken %s %s', n, type)) > 0.9 THEN 'pending'
            WHEN status = 'inactive' THEN 'inactive' ELSE 'active' END,
       date_trunc('minute', now()) - make_interval(mins => (600 * pg_temp.noise(format('sync %s %s', n, type)))::int),
       CASE WHEN pg_temp.noise(format('broken %s %s', n, type)) < 0.15 OR (n, type) = (1, 'crm')
            THEN 'o token foi recusado' END
FROM demo, (VALUES ('whatsapp', 'WhatsApp Business'), ('crm', 'CRM'), ('erp', 'ERP')) AS i (type, label)
WHERE type <> 'erp' OR plan = 'enterprise';

INSERT INTO incidents (id, severity, title, description, created_at, resolved_at)
SELECT pg_temp.id('incident ' || i), (ARRAY['info', 'warning', 'error', 'critical'])[1 + i % 4],
       (ARRAY['Lentidão nas respostas', 'Falha de integração', 'Fila acima do normal', 'Agente fora do ar'])[1 + i % 4],
       'Registrado pela equipe de operações.',
       date_trunc('hour', now()) - make_interval(days => i * 4),
       CASE WHEN i > 1 THEN date_trunc('hour', now()) - make_interval(days => i * 4) + interval '3 hours' END
FROM generate_series(1, 14) AS i;

INSERT INTO incident_tenants (incident_id, tenant_id)
SELECT pg_temp.id('incident ' || i), pg_temp.id('tenant ' || n)
FROM generate_series(1, 14) AS i, demo
WHERE pg_temp.noise(format('hit %s %s', i, n)) < 0.3 OR n = 1 + i % 12;

-- What each tenant has paid since it came.
INSERT INTO subscription_events (id, tenant_id, event_type, plan, mrr_before_cents, mrr_after_cents, occurred_at)
SELECT pg_temp.id(format('subscription %s %s', n, step)), pg_temp.id('tenant ' || n), event_type, plan,
       before_cents, after_cents, date_trunc('day', now()) - make_interval(days => days_ago)
FROM (
    SELECT n, 1 AS step, 'started' AS event_type, plan, 0 AS before_cents, mrr_cents AS after_cents,
           420 - n * 25 AS days_ago
    FROM demo WHERE n NOT IN (4, 6, 8, 12)
    UNION ALL VALUES
        (4, 1, 'started', 'professional', 0, 149900, 320), (4, 2, 'upgraded', 'enterprise', 149900, 499900, 170),
        (6, 1, 'started', 'enterprise', 0, 499900, 270), (6, 2, 'upgraded', 'enterprise', 499900, 599900, 45),
        (8, 1, 'started', 'professional', 0, 149900, 220), (8, 2, 'downgraded', 'starter', 149900, 49900, 20),
        (12, 1, 'started', 'professional', 0, 149900, 120), (12, 2, 'cancelled', 'professional', 149900, 0, 12)
) AS e;

-- What customers have asked: some wait, some are answered, some are done with.
CREATE TEMP TABLE asked_by ON COMMIT DROP AS
SELECT pg_temp.id('ticket ' || k) AS id, n, subject, message, answer, status, hours
FROM (VALUES
    (1, 1, 'O agente não responde no WhatsApp', 'Desde as nove horas os clientes escrevem e ninguém responde.',
     NULL, 'open', 3),
    (2, 1, 'Nova integração com o CRM', 'Renovamos o token do CRM. Como conectamos de novo?',
     'Entre no CRM, em Integrações, e autorize o Painel outra vez. O erro some na próxima sincronização.', 'answered', 30),
    (3, 2, 'Relatório de uso de outubro', 'Precisamos do uso por agente do mês passado.',
     'Em Uso, escolha 90 dias e baixe o CSV.', 'closed', 200),
    (4, 2, 'Limite de requisições', 'Vamos dobrar os atendimentos em dezembro. O plano aguenta?', NULL, 'open', 20),
    (5, 4, 'Mais um agente', 'Queremos contratar o Tutor para o time de obras.', 'Contratado. Ele já aparece em Agentes.',
     'closed', 90),
    (6, 6, 'Respostas lentas à noite', 'Entre 22h e 23h as respostas passam de três segundos.',
     'Estamos investigando; avisamos por aqui.', 'answered', 12)
) AS t (k, n, subject, message, answer, status, hours);

INSERT INTO tickets (id, tenant_id, subject, status, opened_by, opened_by_email, created_at, updated_at)
SELECT id, pg_temp.id('tenant ' || n), subject, status, format('development-tenant-%s', pg_temp.id('tenant ' || n)),
       format('pessoa1@cliente%s.example', n), now() - make_interval(hours => hours),
       now() - make_interval(hours => hours - CASE WHEN answer IS NULL THEN 0 ELSE 2 END)
FROM asked_by;

INSERT INTO ticket_messages (ticket_id, tenant_id, by_operator, author, author_email, body, created_at)
SELECT id, pg_temp.id('tenant ' || n), false, format('development-tenant-%s', pg_temp.id('tenant ' || n)),
       format('pessoa1@cliente%s.example', n), message, now() - make_interval(hours => hours)
FROM asked_by
UNION ALL
SELECT id, pg_temp.id('tenant ' || n), true, 'development-support', 'suporte@painel.example', answer,
       now() - make_interval(hours => hours - 2)
FROM asked_by WHERE answer IS NOT NULL;
