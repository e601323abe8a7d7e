-- Severities as the front end that exists knows them, and a fourth plan.

ALTER TABLE incidents DROP CONSTRAINT incidents_severity_check;
UPDATE incidents
SET severity = CASE severity WHEN 'low' THEN 'info' WHEN 'medium' THEN 'warning' ELSE 'error' END
WHERE severity IN ('low', 'medium', 'high');
ALTER TABLE incidents
    ADD CONSTRAINT incidents_severity_check CHECK (severity IN ('info', 'warning', 'error', 'critical'));

ALTER TABLE plans DROP CONSTRAINT plans_name_check;
ALTER TABLE plans
    ADD CONSTRAINT plans_name_check CHECK (name IN ('starter', 'professional', 'business', 'enterprise'));
INSERT INTO plans (name, monthly_price_cents, max_agents, max_users, max_requests_per_month)
VALUES ('business', 299900, 25, 100, 500000);
