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

/// Method, path, access, and the word under which the audit log tells of it: of everything that changes something, and of
/// what shows people's data. Paths of a tenant are relative to it, others to `/api`.
const TABLE: &[(&str, &str, Access, &str)] = &[
    ("POST", "/auth/register", Public, "tenant.register"),
    ("POST", "/auth/login", Public, "session.begin"),
    ("POST", "/auth/logout", Person, "session.end"),
    ("GET", "/auth/me", Person, ""),
    ("POST", "/auth/password", Person, "password.change"),
    ("POST", "/auth/password-reset", Public, "password.reset"),
    ("POST", "/auth/second-factor", Person, "second_factor.begin"),
    (
        "POST",
        "/auth/second-factor/confirm",
        Person,
        "second_factor.confirm",
    ),
    (
        "POST",
        "/auth/second-factor/remove",
        Person,
        "second_factor.remove",
    ),
    ("POST", "/auth/tenant", Person, "session.change"),
    ("GET", "/auth/sessions", Person, ""),
    ("DELETE", "/auth/sessions/{id}", Person, "session.end"),
    (
        "POST",
        "/auth/invitations/accept",
        Public,
        "invitation.accept",
    ),
    ("GET", "/tenants", Platform, ""),
    ("POST", "/tenants/register", Platform, "tenant.register"),
    ("GET", "/tenants/{tenant}", Tenant(A::ReadSettings), ""),
    ("GET", "/webhook-events", Platform, ""),
    (
        "POST",
        "/webhook-events/{id}/retry",
        Platform,
        "webhook_event.retry",
    ),
    ("GET", "/accounts", Platform, ""),
    ("PATCH", "/accounts/{id}", Platform, "account.change"),
    (
        "POST",
        "/accounts/{id}/password-reset",
        Platform,
        "password_reset.create",
    ),
    ("GET", "/platform/audit", Platform, ""),
    ("GET", "/platform/audit/verify", Platform, ""),
    ("GET", "/audit", Tenant(A::ReadAudit), ""),
    ("GET", "/audit/verify", Tenant(A::ReadAudit), ""),
    ("GET", "/keys", Platform, ""),
    ("POST", "/keys/rotate", Platform, "keys.rotate"),
    ("GET", "/settings", Tenant(A::ReadSettings), ""),
    (
        "PATCH",
        "/settings",
        Tenant(A::ManageSettings),
        "settings.change",
    ),
    ("GET", "/analytics/costs", Tenant(A::ReadAnalytics), ""),
    ("GET", "/channels", Tenant(A::ReadChannels), ""),
    (
        "POST",
        "/channels",
        Tenant(A::ManageChannels),
        "channel.create",
    ),
    ("GET", "/channels/{id}", Tenant(A::ReadChannels), ""),
    (
        "PATCH",
        "/channels/{id}",
        Tenant(A::ManageChannels),
        "channel.change",
    ),
    (
        "DELETE",
        "/channels/{id}",
        Tenant(A::ManageChannels),
        "channel.disable",
    ),
    (
        "POST",
        "/channels/{id}/test",
        Tenant(A::TestChannels),
        "channel.test",
    ),
    ("GET", "/channels/signup", Tenant(A::ManageChannels), ""),
    (
        "POST",
        "/channels/signup",
        Tenant(A::ManageChannels),
        "channel.signup",
    ),
    (
        "POST",
        "/channels/{id}/register",
        Tenant(A::ManageChannels),
        "channel.register",
    ),
    ("GET", "/webhooks/health", Tenant(A::ReadChannels), ""),
    (
        "GET",
        "/webhooks/whatsapp/health",
        Tenant(A::ReadChannels),
        "",
    ),
    (
        "DELETE",
        "/contacts/{id}",
        Tenant(A::ManageContacts),
        "contact.block",
    ),
    (
        "POST",
        "/contacts/{id}/unblock",
        Tenant(A::ManageContacts),
        "contact.unblock",
    ),
    (
        "POST",
        "/contacts/{id}/erase",
        Tenant(A::EraseContacts),
        "contact.erase",
    ),
    ("GET", "/contacts/{id}/erase", Tenant(A::EraseContacts), ""),
    (
        "GET",
        "/contacts/{id}/export",
        Tenant(A::EraseContacts),
        "contact.export",
    ),
    ("GET", "/platform/retention", Platform, ""),
    ("POST", "/platform/retention/run", Platform, "retention.run"),
    ("DELETE", "/tenants/{tenant}", Platform, "tenant.erase"),
    ("GET", "/opt-ins", Tenant(A::ReadContacts), "consent.read"),
    (
        "POST",
        "/opt-ins",
        Tenant(A::ManageContacts),
        "consent.note",
    ),
    ("GET", "/opt-ins/verify", Tenant(A::ReadAudit), ""),
    ("GET", "/contacts", Tenant(A::ReadContacts), "contact.read"),
    (
        "GET",
        "/contacts/{id}",
        Tenant(A::ReadContacts),
        "contact.read",
    ),
    (
        "POST",
        "/contacts/{id}/merge",
        Tenant(A::ManageContacts),
        "contact.merge",
    ),
    (
        "POST",
        "/contact-merges/{id}/undo",
        Tenant(A::ManageContacts),
        "contact.part",
    ),
    (
        "GET",
        "/conversations",
        Tenant(A::ReadConversations),
        "conversation.read",
    ),
    (
        "GET",
        "/conversations/{id}",
        Tenant(A::ReadConversations),
        "conversation.read",
    ),
    (
        "GET",
        "/conversations/{id}/messages",
        Tenant(A::ReadConversations),
        "conversation.read",
    ),
    (
        "GET",
        "/messages",
        Tenant(A::ReadConversations),
        "message.read",
    ),
    (
        "GET",
        "/messages/{id}",
        Tenant(A::ReadConversations),
        "message.read",
    ),
    (
        "POST",
        "/messages/{id}/cancel",
        Tenant(A::SendMessages),
        "message.cancel",
    ),
    (
        "POST",
        "/messages/{id}/read",
        Tenant(A::SendMessages),
        "message.acknowledge",
    ),
    ("POST", "/send", Tenant(A::SendMessages), "message.send"),
    (
        "POST",
        "/send/template",
        Tenant(A::SendMessages),
        "message.send",
    ),
    ("GET", "/dead-letters", Tenant(A::ReadDeadLetters), ""),
    (
        "POST",
        "/dead-letters/{id}/retry",
        Tenant(A::RetryDeadLetters),
        "dead_letter.retry",
    ),
    ("GET", "/events", Tenant(A::ReadEvents), ""),
    ("GET", "/flows", Tenant(A::ReadTemplates), ""),
    ("POST", "/flows", Tenant(A::ManageTemplates), "flows.change"),
    ("GET", "/templates", Tenant(A::ReadTemplates), ""),
    (
        "POST",
        "/templates",
        Tenant(A::ManageTemplates),
        "template.create",
    ),
    ("GET", "/templates/{key}", Tenant(A::ReadTemplates), ""),
    (
        "PUT",
        "/templates/{key}",
        Tenant(A::ManageTemplates),
        "template.change",
    ),
    (
        "DELETE",
        "/templates/{key}",
        Tenant(A::ManageTemplates),
        "template.delete",
    ),
    ("GET", "/media", Tenant(A::ReadMedia), "media.read"),
    ("POST", "/media", Tenant(A::AddMedia), "media.add"),
    ("GET", "/media/{id}", Tenant(A::ReadMedia), "media.read"),
    (
        "GET",
        "/media/{id}/content",
        Tenant(A::ReadMedia),
        "media.read",
    ),
    (
        "POST",
        "/media/{id}/retry",
        Tenant(A::ManageMedia),
        "media.retry",
    ),
    ("GET", "/message-templates", Tenant(A::ReadTemplates), ""),
    (
        "POST",
        "/message-templates",
        Tenant(A::ManageMessageTemplates),
        "message_template.create",
    ),
    (
        "POST",
        "/message-templates/sync",
        Tenant(A::ManageMessageTemplates),
        "message_template.sync",
    ),
    (
        "GET",
        "/message-templates/{id}",
        Tenant(A::ReadTemplates),
        "",
    ),
    (
        "PATCH",
        "/message-templates/{id}",
        Tenant(A::ManageMessageTemplates),
        "message_template.change",
    ),
    (
        "DELETE",
        "/message-templates/{id}",
        Tenant(A::ManageMessageTemplates),
        "message_template.delete",
    ),
    (
        "POST",
        "/message-templates/{id}/submit",
        Tenant(A::ManageMessageTemplates),
        "message_template.submit",
    ),
    ("GET", "/users", Tenant(A::ReadUsers), "user.read"),
    (
        "PATCH",
        "/users/{id}",
        Tenant(A::ManageUsers),
        "user.change",
    ),
    (
        "DELETE",
        "/users/{id}",
        Tenant(A::ManageUsers),
        "user.remove",
    ),
    (
        "POST",
        "/users/{id}/password-reset",
        Tenant(A::ManageUsers),
        "password_reset.create",
    ),
    ("GET", "/invitations", Tenant(A::ReadUsers), ""),
    (
        "POST",
        "/invitations",
        Tenant(A::ManageUsers),
        "invitation.create",
    ),
    (
        "DELETE",
        "/invitations/{id}",
        Tenant(A::ManageUsers),
        "invitation.delete",
    ),
    ("GET", "/api-keys", Tenant(A::ManageApiKeys), ""),
    (
        "POST",
        "/api-keys",
        Tenant(A::ManageApiKeys),
        "api_key.create",
    ),
    (
        "DELETE",
        "/api-keys/{id}",
        Tenant(A::ManageApiKeys),
        "api_key.revoke",
    ),
    ("GET", "/docs", Public, ""),
    ("GET", "/docs/docs.css", Public, ""),
    ("GET", "/docs/docs.js", Public, ""),
    ("GET", "/openapi.json", Public, ""),
    ("GET", "/health", Public, ""),
    ("GET", "/health/live", Public, ""),
    // The token in the path is the credential.
    ("GET", "/media/{token}", Public, ""),
    // Providers sign.
    ("GET", "/webhook/dialog360/{channel}", Public, ""),
    ("POST", "/webhook/dialog360/{channel}", Public, ""),
    ("POST", "/webhook/msg91/{channel}", Public, ""),
    ("POST", "/webhook/twilio", Public, ""),
    ("GET", "/whatsapp/webhook", Public, ""),
    ("POST", "/whatsapp/webhook", Public, ""),
];

/// A route, as the table has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// What it asks of its caller.
    pub access: Access,
    /// The word under which the audit log tells of it; `None` for what it does not tell of.
    pub action: Option<&'static str>,
}

/// What a route asks, by the pattern of its path; whichever of the route's addresses this is. `None`: nobody may.
#[must_use]
pub fn of(method: &Method, pattern: &str) -> Option<Asked> {
    let path = pattern.strip_prefix("/api").unwrap_or(pattern);
    let path = path
        .strip_prefix("/tenants/{tenant}")
        .filter(|rest| !rest.is_empty())
        .unwrap_or(path);
    let method = match method.as_str() {
        "HEAD" => "GET",
        method => method,
    };
    let found = TABLE
        .iter()
        .find(|(known, place, ..)| *known == method && *place == path);
    found.map(|(_, _, access, action)| Asked {
        access: *access,
        action: Some(*action).filter(|action| !action.is_empty()),
    })
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
            let access = |method| of(&method, path).map(|asked| asked.access);
            assert_eq!(access(Method::PATCH), Some(Tenant(A::ManageSettings)));
            assert_eq!(access(Method::HEAD), Some(Tenant(A::ReadSettings)));
            assert_eq!(access(Method::DELETE), None);
        }
        for path in ["/tenants/{tenant}", "/api/tenants/{tenant}"] {
            let access = of(&Method::GET, path).map(|asked| asked.access);
            assert_eq!(access, Some(Tenant(A::ReadSettings)));
        }
        assert_eq!(of(&Method::GET, "/nowhere"), None);
    }

    #[test]
    fn no_route_is_there_twice() {
        let mut seen = HashSet::new();
        for (method, path, ..) in TABLE {
            assert!(seen.insert((method, path)), "{method} {path}");
        }
    }
}
