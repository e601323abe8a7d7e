//! The pages that a menu leads to.

use super::{
    texts::{MenuTexts, Texts},
    visit::Viewer,
};

/// A page of the menu.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    Dashboard,
    Agents,
    Subnuclei,
    Integrations,
    Usage,
    Support,
    Company,
    Tenants,
    Catalogue,
    Connections,
    Operations,
    Aggregations,
    Tickets,
    Billing,
    Audit,
    Settings,
}

impl Section {
    /// Those of a tenant's account.
    const OF_TENANT: [Self; 6] =
        [Self::Dashboard, Self::Agents, Self::Subnuclei, Self::Integrations, Self::Usage, Self::Support];
    /// Those of operators.
    const OF_OPERATORS: [Self; 9] = [
        Self::Company,
        Self::Tenants,
        Self::Catalogue,
        Self::Connections,
        Self::Operations,
        Self::Aggregations,
        Self::Tickets,
        Self::Billing,
        Self::Audit,
    ];

    /// Where it is.
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Dashboard => "/app/dashboard",
            Self::Agents => "/app/dashboard/agents",
            Self::Subnuclei => "/app/dashboard/fibonacci",
            Self::Integrations => "/app/dashboard/integrations",
            Self::Usage => "/app/dashboard/usage",
            Self::Support => "/app/dashboard/support",
            Self::Company => "/app/company",
            Self::Tenants => "/app/company/tenants",
            Self::Catalogue => "/app/company/agents",
            Self::Connections => "/app/company/integrations",
            Self::Operations => "/app/company/operations",
            Self::Aggregations => "/app/company/operations/aggregations",
            Self::Tickets => "/app/company/tickets",
            Self::Billing => "/app/company/billing",
            Self::Audit => "/app/company/audit",
            Self::Settings => "/app/settings",
        }
    }

    /// What it is called.
    pub(super) fn label(self, t: &'static Texts) -> &'static str {
        let menu: &MenuTexts = &t.menu;
        match self {
            Self::Dashboard => menu.dashboard,
            Self::Agents | Self::Catalogue => menu.agents,
            Self::Subnuclei => menu.subnuclei,
            Self::Integrations | Self::Connections => menu.integrations,
            Self::Usage => menu.usage,
            Self::Support => menu.support,
            Self::Company => menu.company,
            Self::Tenants => menu.tenants,
            Self::Operations => menu.operations,
            Self::Aggregations => menu.aggregations,
            Self::Tickets => menu.tickets,
            Self::Billing => menu.billing,
            Self::Audit => menu.audit,
            Self::Settings => menu.settings,
        }
    }

    /// Its drawing among the icons.
    fn icon(self) -> &'static str {
        match self {
            Self::Dashboard | Self::Company => "home",
            Self::Agents | Self::Catalogue => "agent",
            Self::Subnuclei => "group",
            Self::Integrations | Self::Connections => "plug",
            Self::Usage => "chart",
            Self::Support | Self::Tickets => "help",
            Self::Tenants => "people",
            Self::Operations => "play",
            Self::Aggregations => "layers",
            Self::Billing => "money",
            Self::Audit => "list",
            Self::Settings => "gear",
        }
    }

    /// The key that leads there, after `g`.
    fn key(self) -> Option<char> {
        match self {
            Self::Company | Self::Dashboard => Some('v'),
            Self::Tenants => Some('c'),
            Self::Agents | Self::Catalogue => Some('a'),
            Self::Integrations | Self::Connections => Some('i'),
            Self::Operations => Some('o'),
            Self::Billing => Some('f'),
            Self::Audit | Self::Usage => Some('u'),
            _ => None,
        }
    }
}

/// A group of the menu.
pub(super) struct MenuGroup {
    pub(super) label: String,
    pub(super) items: Vec<MenuItem>,
}

/// An entry of the menu.
pub(super) struct MenuItem {
    pub(super) href: String,
    pub(super) label: &'static str,
    pub(super) icon: &'static str,
    pub(super) key: Option<char>,
    pub(super) is_current: bool,
}

/// The menu of somebody: what they may not see is not in it.
pub(super) fn menu(
    t: &'static Texts,
    viewer: &Viewer,
    here: Option<Section>,
    looking_at: Option<(&str, &str)>,
) -> Vec<MenuGroup> {
    let item = |section: Section, query: &str| MenuItem {
        href: format!("{}{query}", section.path()),
        label: section.label(t),
        icon: section.icon(),
        // Keys lead to operators' pages where somebody has both.
        key: section.key().filter(|_| !viewer.is_internal || Section::OF_OPERATORS.contains(&section)),
        is_current: here == Some(section),
    };
    let mut groups = Vec::new();
    if viewer.is_internal {
        let seen =
            Section::OF_OPERATORS.into_iter().filter(|one| *one != Section::Billing || viewer.is_administrator);
        groups.push(MenuGroup {
            label: t.menu.operational.to_owned(),
            items: seen.map(|one| item(one, "")).collect(),
        });
    }
    let of_tenant = |label: String, query: &str| MenuGroup {
        label,
        items: Section::OF_TENANT.into_iter().map(|one| item(one, query)).collect(),
    };
    match looking_at {
        Some((id, name)) => groups.push(of_tenant((t.menu.account_of)(name), &format!("?tenant_id={id}"))),
        None if !viewer.is_internal => groups.push(of_tenant(t.menu.account.to_owned(), "")),
        None => {}
    }
    groups
}
