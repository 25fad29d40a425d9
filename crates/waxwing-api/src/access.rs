//! What each route asks of its caller: the one table, by method and path. A route that is not in it is refused to
//! everybody, and a test walks the document to find it.

use http::Method;
use waxwing_core::access::Action;

/// What a route asks of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Nothing: what it needs stands in the request itself, or it tells nothing.
    Public,
    /// A person who is logged in.
    Person,
    /// The platform admin.
    Platform,
    /// That the caller may do this in the tenant.
    Tenant(Action),
}

use Access::{Person, Platform, Public, Tenant};
use Action as A;

/// Method, path, access. Paths of a tenant are relative to it, others to `/api`.
const TABLE: &[(&str, &str, Access)] = &[
    ("POST", "/auth/register", Public),
    ("POST", "/auth/login", Public),
    ("POST", "/auth/logout", Person),
    ("GET", "/auth/me", Person),
    ("POST", "/auth/password", Person),
    ("POST", "/auth/password-reset", Public),
    ("POST", "/auth/tenant", Person),
    ("GET", "/auth/sessions", Person),
    ("DELETE", "/auth/sessions/{id}", Person),
    ("POST", "/auth/invitations/accept", Public),
    ("GET", "/tenants", Platform),
    ("POST", "/tenants/register", Platform),
    ("GET", "/tenants/{tenant}", Tenant(A::ReadSettings)),
    ("GET", "/webhook-events", Platform),
    ("POST", "/webhook-events/{id}/retry", Platform),
    ("GET", "/accounts", Platform),
    ("PATCH", "/accounts/{id}", Platform),
    ("POST", "/accounts/{id}/password-reset", Platform),
    ("GET", "/keys", Platform),
    ("POST", "/keys/rotate", Platform),
    ("GET", "/settings", Tenant(A::ReadSettings)),
    ("PATCH", "/settings", Tenant(A::ManageSettings)),
    ("GET", "/analytics/costs", Tenant(A::ReadAnalytics)),
    ("GET", "/channels", Tenant(A::ReadChannels)),
    ("POST", "/channels", Tenant(A::ManageChannels)),
    ("GET", "/channels/{id}", Tenant(A::ReadChannels)),
    ("PATCH", "/channels/{id}", Tenant(A::ManageChannels)),
    ("DELETE", "/channels/{id}", Tenant(A::ManageChannels)),
    ("POST", "/channels/{id}/test", Tenant(A::TestChannels)),
    ("GET", "/webhooks/health", Tenant(A::ReadChannels)),
    ("GET", "/webhooks/whatsapp/health", Tenant(A::ReadChannels)),
    ("GET", "/contacts", Tenant(A::ReadContacts)),
    ("GET", "/contacts/{id}", Tenant(A::ReadContacts)),
    ("POST", "/contacts/{id}/merge", Tenant(A::ManageContacts)),
    (
        "POST",
        "/contact-merges/{id}/undo",
        Tenant(A::ManageContacts),
    ),
    ("GET", "/conversations", Tenant(A::ReadConversations)),
    ("GET", "/conversations/{id}", Tenant(A::ReadConversations)),
    (
        "GET",
        "/conversations/{id}/messages",
        Tenant(A::ReadConversations),
    ),
    ("GET", "/messages", Tenant(A::ReadConversations)),
    ("GET", "/messages/{id}", Tenant(A::ReadConversations)),
    ("POST", "/messages/{id}/cancel", Tenant(A::SendMessages)),
    ("POST", "/messages/{id}/read", Tenant(A::SendMessages)),
    ("POST", "/send", Tenant(A::SendMessages)),
    ("POST", "/send/template", Tenant(A::SendMessages)),
    ("GET", "/dead-letters", Tenant(A::ReadDeadLetters)),
    (
        "POST",
        "/dead-letters/{id}/retry",
        Tenant(A::RetryDeadLetters),
    ),
    ("GET", "/events", Tenant(A::ReadEvents)),
    ("GET", "/flows", Tenant(A::ReadTemplates)),
    ("POST", "/flows", Tenant(A::ManageTemplates)),
    ("GET", "/templates", Tenant(A::ReadTemplates)),
    ("POST", "/templates", Tenant(A::ManageTemplates)),
    ("GET", "/templates/{key}", Tenant(A::ReadTemplates)),
    ("PUT", "/templates/{key}", Tenant(A::ManageTemplates)),
    ("DELETE", "/templates/{key}", Tenant(A::ManageTemplates)),
    ("GET", "/media", Tenant(A::ReadMedia)),
    ("POST", "/media", Tenant(A::AddMedia)),
    ("GET", "/media/{id}", Tenant(A::ReadMedia)),
    ("GET", "/media/{id}/content", Tenant(A::ReadMedia)),
    ("POST", "/media/{id}/retry", Tenant(A::ManageMedia)),
    ("GET", "/message-templates", Tenant(A::ReadTemplates)),
    (
        "POST",
        "/message-templates",
        Tenant(A::ManageMessageTemplates),
    ),
    (
        "POST",
        "/message-templates/sync",
        Tenant(A::ManageMessageTemplates),
    ),
    ("GET", "/message-templates/{id}", Tenant(A::ReadTemplates)),
    (
        "PATCH",
        "/message-templates/{id}",
        Tenant(A::ManageMessageTemplates),
    ),
    (
        "DELETE",
        "/message-templates/{id}",
        Tenant(A::ManageMessageTemplates),
    ),
    (
        "POST",
        "/message-templates/{id}/submit",
        Tenant(A::ManageMessageTemplates),
    ),
    ("GET", "/users", Tenant(A::ReadUsers)),
    ("PATCH", "/users/{id}", Tenant(A::ManageUsers)),
    ("DELETE", "/users/{id}", Tenant(A::ManageUsers)),
    ("POST", "/users/{id}/password-reset", Tenant(A::ManageUsers)),
    ("GET", "/invitations", Tenant(A::ReadUsers)),
    ("POST", "/invitations", Tenant(A::ManageUsers)),
    ("DELETE", "/invitations/{id}", Tenant(A::ManageUsers)),
    ("GET", "/api-keys", Tenant(A::ManageApiKeys)),
    ("POST", "/api-keys", Tenant(A::ManageApiKeys)),
    ("DELETE", "/api-keys/{id}", Tenant(A::ManageApiKeys)),
    ("GET", "/docs", Public),
    ("GET", "/docs/docs.css", Public),
    ("GET", "/docs/docs.js", Public),
    ("GET", "/openapi.json", Public),
    ("GET", "/health", Public),
    ("GET", "/health/live", Public),
    // The token in the path is the credential.
    ("GET", "/media/{token}", Public),
    // Providers sign.
    ("GET", "/webhook/dialog360/{channel}", Public),
    ("POST", "/webhook/dialog360/{channel}", Public),
    ("POST", "/webhook/msg91/{channel}", Public),
    ("POST", "/webhook/twilio", Public),
    ("GET", "/whatsapp/webhook", Public),
    ("POST", "/whatsapp/webhook", Public),
];

/// What a route asks, by the pattern of its path; whichever of the route's addresses this is. `None`: nobody may.
#[must_use]
pub fn of(method: &Method, pattern: &str) -> Option<Access> {
    let path = pattern.strip_prefix("/api").unwrap_or(pattern);
    let path = path
        .strip_prefix("/tenants/{tenant}")
        .filter(|rest| !rest.is_empty())
        .unwrap_or(path);
    let method = match method.as_str() {
        "HEAD" => "GET",
        method => method,
    };
    TABLE
        .iter()
        .find(|(known, place, _)| *known == method && *place == path)
        .map(|(_, _, access)| *access)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_address_of_a_route_asks_the_same() {
        let paths = [
            "/api/settings",
            "/api/tenants/{tenant}/settings",
            "/tenants/{tenant}/settings",
        ];
        for path in paths {
            assert_eq!(of(&Method::PATCH, path), Some(Tenant(A::ManageSettings)));
            assert_eq!(of(&Method::HEAD, path), Some(Tenant(A::ReadSettings)));
            assert_eq!(of(&Method::DELETE, path), None);
        }
        for path in ["/tenants/{tenant}", "/api/tenants/{tenant}"] {
            assert_eq!(of(&Method::GET, path), Some(Tenant(A::ReadSettings)));
        }
        assert_eq!(of(&Method::GET, "/nowhere"), None);
    }

    #[test]
    fn no_route_is_there_twice() {
        let mut seen = HashSet::new();
        for (method, path, _) in TABLE {
            assert!(seen.insert((method, path)), "{method} {path}");
        }
    }
}
