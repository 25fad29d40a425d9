//! Who may do what: roles, actions, and the one table that joins them. The API's routes and the router of staff phones
//! both ask here.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a person or an API key is in a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything, and says who else is an owner.
    Owner,
    /// Everything else.
    Manager,
    /// Talks with contacts and sells.
    Sales,
    /// Talks with contacts, writes to many, and mends what failed.
    Operations,
    /// Is out with customers: brings files and reports.
    FieldStaff,
    /// Looks on.
    Viewer,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 6] = [
        Self::Owner,
        Self::Manager,
        Self::Sales,
        Self::Operations,
        Self::FieldStaff,
        Self::Viewer,
    ];

    /// The word in the API and in the store.
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

    /// Reads a word of [`Role::as_str`].
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == word)
    }

    /// Whether this role may do it. The permission table.
    #[must_use]
    pub const fn may(self, action: Action) -> bool {
        use Action as A;
        match self {
            Self::Owner => true,
            Self::Manager => !matches!(action, A::ManageOwners),
            Self::Sales => matches!(
                action,
                A::ReadConversations
                    | A::SendMessages
                    | A::ReadContacts
                    | A::ManageContacts
                    | A::ReadTemplates
                    | A::ReadMedia
                    | A::AddMedia
                    | A::ReadChannels
                    | A::ReadAnalytics
            ),
            Self::Operations => matches!(
                action,
                A::ReadConversations
                    | A::SendMessages
                    | A::ReadContacts
                    | A::ManageContacts
                    | A::ReadTemplates
                    | A::ManageMessageTemplates
                    | A::ReadMedia
                    | A::AddMedia
                    | A::ReadChannels
                    | A::TestChannels
                    | A::ReadAnalytics
                    | A::ReadDeadLetters
                    | A::RetryDeadLetters
                    | A::ReadEvents
                    | A::ReadSettings
            ),
            Self::FieldStaff => matches!(action, A::AddMedia | A::ReadTemplates),
            Self::Viewer => matches!(
                action,
                A::ReadConversations
                    | A::ReadContacts
                    | A::ReadTemplates
                    | A::ReadMedia
                    | A::ReadChannels
                    | A::ReadAnalytics
                    | A::ReadSettings
            ),
        }
    }

    /// Whether somebody of this role may give `other` to somebody, or take it away.
    #[must_use]
    pub const fn may_grant(self, other: Self) -> bool {
        match other {
            Self::Owner => self.may(Action::ManageOwners),
            _ => self.may(Action::ManageUsers),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What can be done in a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// See conversations and messages, and why a message was sent or not.
    ReadConversations,
    /// Send, reply, cancel, mark as read.
    SendMessages,
    /// See contacts.
    ReadContacts,
    /// Merge, separate and block contacts, and note what they agreed to.
    ManageContacts,
    /// Take all that is known of a contact away: as an archive, or for good.
    EraseContacts,
    /// See templates, flows and message templates.
    ReadTemplates,
    /// Change templates and flows.
    ManageTemplates,
    /// Draft, submit, synchronise and delete message templates.
    ManageMessageTemplates,
    /// See files.
    ReadMedia,
    /// Bring files.
    AddMedia,
    /// Delete files and fetch them again.
    ManageMedia,
    /// See channels, without their credentials.
    ReadChannels,
    /// Ask a channel's provider whether the channel works.
    TestChannels,
    /// Make, change and delete channels, with their credentials.
    ManageChannels,
    /// See the tenant's settings.
    ReadSettings,
    /// Change them.
    ManageSettings,
    /// See figures and costs.
    ReadAnalytics,
    /// See what failed for good.
    ReadDeadLetters,
    /// Try it again.
    RetryDeadLetters,
    /// Read domain events.
    ReadEvents,
    /// See the people of the tenant and their roles.
    ReadUsers,
    /// Invite people, change roles below owner, remove people, make links for new passwords.
    ManageUsers,
    /// The same for owners.
    ManageOwners,
    /// See, make and revoke API keys.
    ManageApiKeys,
    /// See who did what.
    ReadAudit,
}

impl Action {
    /// All actions.
    pub const ALL: [Self; 25] = [
        Self::ReadConversations,
        Self::SendMessages,
        Self::ReadContacts,
        Self::ManageContacts,
        Self::EraseContacts,
        Self::ReadTemplates,
        Self::ManageTemplates,
        Self::ManageMessageTemplates,
        Self::ReadMedia,
        Self::AddMedia,
        Self::ManageMedia,
        Self::ReadChannels,
        Self::TestChannels,
        Self::ManageChannels,
        Self::ReadSettings,
        Self::ManageSettings,
        Self::ReadAnalytics,
        Self::ReadDeadLetters,
        Self::RetryDeadLetters,
        Self::ReadEvents,
        Self::ReadUsers,
        Self::ManageUsers,
        Self::ManageOwners,
        Self::ManageApiKeys,
        Self::ReadAudit,
    ];

    /// Whether it changes nothing.
    #[must_use]
    pub const fn only_reads(self) -> bool {
        matches!(
            self,
            Self::ReadConversations
                | Self::ReadContacts
                | Self::ReadTemplates
                | Self::ReadMedia
                | Self::ReadChannels
                | Self::ReadSettings
                | Self::ReadAnalytics
                | Self::ReadDeadLetters
                | Self::ReadEvents
                | Self::ReadUsers
                | Self::ReadAudit
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_round_trip() {
        for role in Role::ALL {
            assert_eq!(Role::parse(role.as_str()), Some(role));
        }
        assert_eq!(Role::parse("admin"), None);
    }

    #[test]
    fn the_table_keeps_its_laws() {
        for action in Action::ALL {
            assert!(Role::Owner.may(action), "owners may everything");
            let by_manager = action != Action::ManageOwners;
            assert_eq!(Role::Manager.may(action), by_manager, "{action:?}");
            if Role::Viewer.may(action) {
                assert!(action.only_reads(), "a viewer changes nothing: {action:?}");
            }
            let sensitive = matches!(
                action,
                Action::ManageChannels
                    | Action::ManageSettings
                    | Action::ManageTemplates
                    | Action::ManageMedia
                    | Action::ReadUsers
                    | Action::ManageUsers
                    | Action::ManageOwners
                    | Action::ManageApiKeys
                    | Action::ReadAudit
                    | Action::EraseContacts
            );
            for role in [
                Role::Sales,
                Role::Operations,
                Role::FieldStaff,
                Role::Viewer,
            ] {
                assert!(!(sensitive && role.may(action)), "{role} {action:?}");
            }
        }
    }

    #[test]
    fn nobody_grants_more_than_they_are() {
        for role in Role::ALL {
            assert_eq!(role.may_grant(Role::Owner), role == Role::Owner);
            let grants = matches!(role, Role::Owner | Role::Manager);
            for other in Role::ALL.into_iter().filter(|other| *other != Role::Owner) {
                assert_eq!(role.may_grant(other), grants, "{role} {other}");
            }
        }
    }
}
