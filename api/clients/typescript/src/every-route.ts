// Each route once, so that a change of the API that would break a front does not compile here.

import { idempotencyKey, type Painel, type Schemas } from "./index.js";

/** What routes ask about. */
export interface Ids {
  tenant: string;
  agent: string;
  command: string;
  ticket: string;
}

/** Asks every route, as an operator would or a tenant's user; the answers by their paths. */
export async function askAll(painel: Painel, ids: Ids) {
  const query = { tenant_id: ids.tenant };
  const restart: Schemas["CommandRequest"] = {
    command_type: "RESTART_AGENT",
    tenant_id: ids.tenant,
    parameters: { agent_id: ids.agent },
    reason: "it answers nobody",
  };
  const once = () => ({ header: { "Idempotency-Key": idempotencyKey() } });
  return {
    "GET /health": await painel.GET("/health"),
    "GET /health/live": await painel.GET("/health/live"),
    "GET /health/ready": await painel.GET("/health/ready"),
    "GET /profile": await painel.GET("/profile"),
    "PUT /profile/preferences": await painel.PUT("/profile/preferences", {
      body: { language: "en", zone: "UTC", theme: "dark", dense: false, live: true, shortcuts: true },
    }),
    "GET /tenant/me": await painel.GET("/tenant/me", { params: { query } }),
    "GET /tenant/agents": await painel.GET("/tenant/agents", { params: { query: { ...query, status: "all" } } }),
    "GET /tenant/integrations": await painel.GET("/tenant/integrations", { params: { query } }),
    "GET /tenant/usage": await painel.GET("/tenant/usage", { params: { query: { ...query, period: "7d" } } }),
    "GET /tenant/incidents": await painel.GET("/tenant/incidents", { params: { query: { ...query, limit: 5 } } }),
    "GET /tenant/operations": await painel.GET("/tenant/operations", { params: { query } }),
    "GET /tenant/tickets": await painel.GET("/tenant/tickets", { params: { query } }),
    "GET /tenant/tickets/{ticket_id}": await painel.GET("/tenant/tickets/{ticket_id}", {
      params: { path: { ticket_id: ids.ticket }, query },
    }),
    "POST /tenant/tickets": await painel.POST("/tenant/tickets", {
      params: once(),
      body: { subject: "An agent is silent", message: "Since nine o'clock." },
    }),
    "POST /tenant/tickets/{ticket_id}/messages": await painel.POST("/tenant/tickets/{ticket_id}/messages", {
      params: { path: { ticket_id: ids.ticket }, ...once() },
      body: { message: "Still silent." },
    }),
    "GET /internal/tenants": await painel.GET("/internal/tenants", {
      params: { query: { status: "all", sort_by: "mrr_estimate", sort_order: "desc" } },
    }),
    "GET /internal/tenants/{id}": await painel.GET("/internal/tenants/{id}", { params: { path: { id: ids.tenant } } }),
    "GET /internal/tenants/{id}/agents": await painel.GET("/internal/tenants/{id}/agents", {
      params: { path: { id: ids.tenant } },
    }),
    "GET /internal/usage/overview": await painel.GET("/internal/usage/overview", { params: { query: { period: "30d" } } }),
    "GET /internal/billing/overview": await painel.GET("/internal/billing/overview"),
    "GET /internal/agents": await painel.GET("/internal/agents", { params: { query: { sort_by: "total_requests" } } }),
    "GET /internal/integrations": await painel.GET("/internal/integrations", { params: { query: { status: "error" } } }),
    "GET /internal/incidents": await painel.GET("/internal/incidents", { params: { query: { state: "open" } } }),
    "GET /internal/tickets": await painel.GET("/internal/tickets", { params: { query: { status: "all" } } }),
    "GET /internal/tickets/{ticket_id}": await painel.GET("/internal/tickets/{ticket_id}", {
      params: { path: { ticket_id: ids.ticket } },
    }),
    "POST /internal/tickets/{ticket_id}/messages": await painel.POST("/internal/tickets/{ticket_id}/messages", {
      params: { path: { ticket_id: ids.ticket }, ...once() },
      body: { message: "We have restarted it.", close: true },
    }),
    "POST /internal/operations/commands/preview": await painel.POST("/internal/operations/commands/preview", {
      body: restart,
    }),
    "POST /internal/operations/commands": await painel.POST("/internal/operations/commands", {
      params: once(),
      body: restart,
    }),
    "GET /internal/operations/commands": await painel.GET("/internal/operations/commands", {
      params: { query: { status: "ERROR", dead_letter: true } },
    }),
    "GET /internal/operations/commands/{command_id}": await painel.GET("/internal/operations/commands/{command_id}", {
      params: { path: { command_id: ids.command } },
    }),
    "POST /internal/operations/aggregations": await painel.POST("/internal/operations/aggregations", {
      body: { from: "2026-01-01", to: "2026-01-02" },
    }),
    "GET /internal/operations/aggregations": await painel.GET("/internal/operations/aggregations", {
      params: { query: { state: "failed" } },
    }),
    "GET /internal/operations/queues": await painel.GET("/internal/operations/queues"),
    "GET /internal/operations/events": await painel.GET("/internal/operations/events", {
      params: { query: { event_type: "command.requested", limit: 10 } },
    }),
  };
}
