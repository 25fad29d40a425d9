//! Who may do what: the one table of roles and actions.
//!
//! A role is what a user, an API key or a staff phone has in one tenant. The API asks this table for every route, and
//! whoever else lets people act for a tenant asks it too.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What somebody is in a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// May do everything.
    Owner,
    /// Runs the tenant: everything except what ends it.
    Manager,
    /// Talks to contacts and makes leads, quotes and bookings of them.
    Sales,
    /// Runs trips, stock, staff and broadcasts.
    Operations,
    /// Works outside: checks in, reports incidents, sends media.
    FieldStaff,
    /// Reads.
    Viewer,
}

/// A text that names no role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a role: expected owner, manager, sales, operations, field_staff or viewer")]
pub struct ParseRoleError;

impl Role {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Owner,
        Self::Manager,
        Self::Sales,
        Self::Operations,
        Self::FieldStaff,
        Self::Viewer,
    ];

    /// The name in the API and the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Manager => "manager",
            Self::Sales => "sales",
            Self::Operations => "operations",
            Self::FieldStaff => "field_staff",
            Self::Viewer => "viewer",
        }
    }

    /// Whether the role may do this.
    #[must_use]
    pub const fn may(self, action: Action) -> bool {
        action.roles().has(self)
    }

    /// Whether the role may do all that the other one may. Nobody gives away or changes a role that theirs does not
    /// cover.
    #[must_use]
    pub fn covers(self, other: Self) -> bool {
        Action::ALL
            .iter()
            .all(|action| self.may(*action) || !other.may(*action))
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = ParseRoleError;

    fn from_str(text: &str) -> Result<Self, ParseRoleError> {
        Self::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or(ParseRoleError)
    }
}

/// Some roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roles(u8);

impl Roles {
    const fn of(roles: &[Role]) -> Self {
        let mut bits = 0;
        let mut at = 0;
        while at < roles.len() {
            bits |= 1 << roles[at] as u8;
            at += 1;
        }
        Self(bits)
    }

    /// Whether the role is among them.
    #[must_use]
    pub const fn has(self, role: Role) -> bool {
        self.0 & (1 << role as u8) != 0
    }
}

/// What an action does to the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It looks.
    Read,
    /// It changes something, or sends something.
    Change,
}

/// Everybody in the tenant.
const ALL: Roles = Roles::of(&Role::ALL);
/// Those who work at a desk, and those who look over their shoulders.
const DESK: Roles = Roles::of(&[
    Role::Owner,
    Role::Manager,
    Role::Sales,
    Role::Operations,
    Role::Viewer,
]);
/// Those who talk to contacts.
const TALKERS: Roles = Roles::of(&[Role::Owner, Role::Manager, Role::Sales, Role::Operations]);
/// Those who sell.
const SELLERS: Roles = Roles::of(&[Role::Owner, Role::Manager, Role::Sales]);
/// Those who run the daily work.
const RUNNERS: Roles = Roles::of(&[Role::Owner, Role::Manager, Role::Operations]);
/// Those who do it, and those outside.
const WORKERS: Roles = Roles::of(&[
    Role::Owner,
    Role::Manager,
    Role::Operations,
    Role::FieldStaff,
]);
/// All but those who only look.
const ACTIVE: Roles = Roles::of(&[
    Role::Owner,
    Role::Manager,
    Role::Sales,
    Role::Operations,
    Role::FieldStaff,
]);
/// Those who answer for the tenant.
const MANAGERS: Roles = Roles::of(&[Role::Owner, Role::Manager]);
/// Those to whom it belongs.
const OWNERS: Roles = Roles::of(&[Role::Owner]);

macro_rules! actions {
    ($($(#[$doc:meta])+ $name:ident = $text:literal, $effect:ident, $roles:ident;)+) => {
        /// What can be done in a tenant.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Action {
            $($(#[$doc])+ $name,)+
        }

        impl Action {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The name: the thing, a dot, the verb.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }

            /// What it does to the data.
            #[must_use]
            pub const fn effect(self) -> Effect {
                match self {
                    $(Self::$name => Effect::$effect,)+
                }
            }

            /// Who may do it: the permission table.
            #[must_use]
            pub const fn roles(self) -> Roles {
                match self {
                    $(Self::$name => $roles,)+
                }
            }
        }
    };
}

actions! {
    /// See the tenant and its settings.
    TenantRead = "tenant.read", Read, ALL;
    /// Change the tenant's name and settings.
    SettingsChange = "settings.change", Change, MANAGERS;
    /// End the tenant and erase its data.
    TenantErase = "tenant.erase", Change, OWNERS;
    /// See channels, without credentials.
    ChannelsRead = "channels.read", Read, DESK;
    /// Make, change and end channels and their credentials.
    ChannelsManage = "channels.manage", Change, MANAGERS;
    /// Ask the provider about a channel.
    ChannelsTest = "channels.test", Change, RUNNERS;
    /// See templates.
    TemplatesRead = "templates.read", Read, DESK;
    /// Write templates.
    TemplatesWrite = "templates.write", Change, RUNNERS;
    /// See flows.
    FlowsRead = "flows.read", Read, DESK;
    /// Write and publish flows.
    FlowsPublish = "flows.publish", Change, MANAGERS;
    /// See message templates.
    MessageTemplatesRead = "message_templates.read", Read, DESK;
    /// Write message templates and hand them in.
    MessageTemplatesWrite = "message_templates.write", Change, RUNNERS;
    /// See messages.
    MessagesRead = "messages.read", Read, DESK;
    /// Send, cancel and acknowledge messages.
    MessagesSend = "messages.send", Change, TALKERS;
    /// See files.
    MediaRead = "media.read", Read, DESK;
    /// Upload files and fetch them again.
    MediaWrite = "media.write", Change, ACTIVE;
    /// See contacts and their preferences.
    ContactsRead = "contacts.read", Read, DESK;
    /// Change contacts and their preferences.
    ContactsWrite = "contacts.write", Change, TALKERS;
    /// Join two contacts, or part them again.
    ContactsMerge = "contacts.merge", Change, RUNNERS;
    /// Take out all that is known of a contact.
    ContactsExport = "contacts.export", Read, MANAGERS;
    /// Erase a contact.
    ContactsErase = "contacts.erase", Change, MANAGERS;
    /// See the consent of contacts.
    ConsentRead = "consent.read", Read, DESK;
    /// Record that a contact agreed or refused.
    ConsentRecord = "consent.record", Change, TALKERS;
    /// See conversations.
    ConversationsRead = "conversations.read", Read, DESK;
    /// Answer, assign, close and hand over conversations, and write notes.
    ConversationsHandle = "conversations.handle", Change, TALKERS;
    /// See the timeline of contacts and business objects.
    TimelineRead = "timeline.read", Read, DESK;
    /// See what failed for good.
    DeadLettersRead = "dead_letters.read", Read, DESK;
    /// Try again what failed for good.
    DeadLettersRetry = "dead_letters.retry", Change, RUNNERS;
    /// See domain events.
    EventsRead = "events.read", Read, MANAGERS;
    /// See and change where events are sent to.
    WebhookEndpointsManage = "webhook_endpoints.manage", Change, MANAGERS;
    /// See figures and costs.
    AnalyticsRead = "analytics.read", Read, DESK;
    /// See campaigns and broadcast lists.
    CampaignsRead = "campaigns.read", Read, DESK;
    /// Prepare campaigns and broadcast lists.
    CampaignsWrite = "campaigns.write", Change, RUNNERS;
    /// Start, pause and cancel campaigns and broadcasts.
    CampaignsLaunch = "campaigns.launch", Change, RUNNERS;
    /// See leads.
    LeadsRead = "leads.read", Read, DESK;
    /// Make, change and convert leads.
    LeadsWrite = "leads.write", Change, SELLERS;
    /// See quotes.
    QuotesRead = "quotes.read", Read, DESK;
    /// Make and send quotes.
    QuotesWrite = "quotes.write", Change, SELLERS;
    /// See bookings and payments.
    BookingsRead = "bookings.read", Read, DESK;
    /// Make and cancel bookings, send payment links, record payments.
    BookingsWrite = "bookings.write", Change, SELLERS;
    /// See trips.
    TripsRead = "trips.read", Read, ALL;
    /// Change trips, their stock and their staff.
    TripsWrite = "trips.write", Change, RUNNERS;
    /// Check in for a trip.
    TripsCheckIn = "trips.check_in", Change, WORKERS;
    /// See incidents.
    IncidentsRead = "incidents.read", Read, ALL;
    /// Report an incident.
    IncidentsReport = "incidents.report", Change, ACTIVE;
    /// Change and resolve incidents.
    IncidentsResolve = "incidents.resolve", Change, RUNNERS;
    /// See the staff.
    StaffRead = "staff.read", Read, DESK;
    /// Add, change and remove staff.
    StaffManage = "staff.manage", Change, MANAGERS;
    /// Approve what needs a manager.
    ApprovalsGive = "approvals.give", Change, MANAGERS;
    /// See how the assistant is set.
    AssistantRead = "assistant.read", Read, DESK;
    /// Set the assistant.
    AssistantManage = "assistant.manage", Change, MANAGERS;
    /// Send and check one-time codes.
    VerificationsUse = "verifications.use", Change, TALKERS;
    /// Take out many rows at once.
    ExportsMake = "exports.make", Change, MANAGERS;
    /// See who may log in, and who is invited.
    UsersRead = "users.read", Read, MANAGERS;
    /// Invite, change and remove users.
    UsersManage = "users.manage", Change, MANAGERS;
    /// See API keys, never their secrets.
    ApiKeysRead = "api_keys.read", Read, MANAGERS;
    /// Make and revoke API keys.
    ApiKeysManage = "api_keys.manage", Change, MANAGERS;
    /// See who did what.
    AuditRead = "audit.read", Read, MANAGERS;
    /// Run diagnostics.
    DiagnosticsRun = "diagnostics.run", Change, MANAGERS;
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn of(role: Role) -> Vec<Action> {
        let all = Action::ALL.iter().copied();
        all.filter(|action| role.may(*action)).collect()
    }

    #[test]
    fn owners_may_everything_and_nobody_else_may() {
        assert_eq!(of(Role::Owner), Action::ALL);
        for role in &Role::ALL[1..] {
            assert!(of(*role).len() < Action::ALL.len(), "{role}");
        }
    }

    #[test]
    fn managers_may_all_that_others_may() {
        for role in &Role::ALL[1..] {
            assert!(Role::Manager.covers(*role), "{role}");
            assert!(Role::Owner.covers(*role) && !role.covers(Role::Owner));
        }
        assert!(!Role::Sales.covers(Role::Operations) && !Role::Operations.covers(Role::Sales));
    }

    #[test]
    fn viewers_only_read() {
        let actions = of(Role::Viewer);
        assert!(actions.len() > 10);
        for action in actions {
            assert_eq!(action.effect(), Effect::Read, "{action}");
        }
    }

    #[test]
    fn credentials_people_and_what_leaves_the_house_are_for_those_who_answer_for_it() {
        for action in [
            Action::SettingsChange,
            Action::ChannelsManage,
            Action::ContactsErase,
            Action::ContactsExport,
            Action::ExportsMake,
            Action::StaffManage,
            Action::UsersRead,
            Action::UsersManage,
            Action::ApiKeysRead,
            Action::ApiKeysManage,
            Action::AuditRead,
            Action::EventsRead,
            Action::WebhookEndpointsManage,
            Action::FlowsPublish,
            Action::AssistantManage,
            Action::ApprovalsGive,
            Action::DiagnosticsRun,
        ] {
            for role in Role::ALL {
                let answers = matches!(role, Role::Owner | Role::Manager);
                assert_eq!(role.may(action), answers, "{role} {action}");
            }
        }
        assert!(!Role::Manager.may(Action::TenantErase));
    }

    #[test]
    fn field_staff_see_their_work_and_no_contacts() {
        let actions: BTreeSet<_> = of(Role::FieldStaff).iter().map(|a| a.as_str()).collect();
        let expected = [
            "incidents.read",
            "incidents.report",
            "media.write",
            "tenant.read",
            "trips.check_in",
            "trips.read",
        ];
        assert_eq!(actions, BTreeSet::from(expected));
    }

    #[test]
    fn names_are_unique_and_say_what_is_read() {
        let names: BTreeSet<_> = Action::ALL.iter().map(|action| action.as_str()).collect();
        assert_eq!(names.len(), Action::ALL.len());
        for action in Action::ALL {
            if action.as_str().ends_with(".read") {
                assert_eq!(action.effect(), Effect::Read, "{action}");
            }
        }
    }

    #[test]
    fn roles_are_read_by_their_names() {
        for role in Role::ALL {
            assert_eq!(role.as_str().parse(), Ok(role));
            assert_eq!(
                serde_json::to_value(role).unwrap(),
                serde_json::Value::from(role.as_str())
            );
        }
        for text in ["", "Owner", "admin", "owner "] {
            assert_eq!(text.parse::<Role>(), Err(ParseRoleError), "{text}");
        }
    }
}
