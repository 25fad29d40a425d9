//! The commands about who may do what on a running server: `user`, `key`.

use serde_json::json;

use super::remote::{client, list, of, part, show, text};
use crate::cli::{KeyAction, OfTenant, UserAction};
use crate::failure::Failure;
use crate::settings::Settings;

/// `waxwing user`.
///
/// # Errors
/// What the server says.
pub async fn user(settings: &Settings, action: &UserAction) -> Result<(), Failure> {
    match action {
        UserAction::Invite {
            email,
            role,
            of: scope,
        } => {
            let body = json!({ "email": email, "role": role });
            let answer = client(settings, &scope.remote)?
                .post(&of(scope, "invitations")?, &body)
                .await?;
            show(&scope.remote, &answer, || {
                format!(
                    "{} {}\ntoken (shown this once, good for seven days): {}",
                    text(&answer["invitation"], "id"),
                    text(&answer["invitation"], "role"),
                    text(&answer, "token")
                )
            });
        }
        UserAction::List { of: scope } => {
            let users = client(settings, &scope.remote)?
                .list(&of(scope, "users")?, "users")
                .await?;
            let columns = ["id", "email", "name", "role", "active", "since"];
            list(&scope.remote, "users", users, &columns);
        }
        UserAction::Role {
            id,
            role,
            of: scope,
        } => {
            let path = member(scope, id, "")?;
            let answer = client(settings, &scope.remote)?
                .patch(&path, &json!({ "role": role }))
                .await?;
            show(&scope.remote, &answer, || {
                format!("{id} {}", text(&answer["user"], "role"))
            });
        }
        UserAction::Remove { id, of: scope } => {
            let path = member(scope, id, "")?;
            let answer = client(settings, &scope.remote)?.delete(&path).await?;
            show(&scope.remote, &answer, || format!("{id} is no member"));
        }
        UserAction::ResetPassword { id, of: scope } => {
            let path = member(scope, id, "/password-reset")?;
            let answer = client(settings, &scope.remote)?.act(&path).await?;
            show(&scope.remote, &answer, || {
                format!(
                    "token (shown this once, good until {}): {}",
                    text(&answer, "expiresAt"),
                    text(&answer, "token")
                )
            });
        }
    }
    Ok(())
}

fn member(scope: &OfTenant, id: &str, rest: &str) -> Result<String, Failure> {
    of(scope, &format!("users/{}{rest}", part(id)?))
}

/// `waxwing key`.
///
/// # Errors
/// What the server says.
pub async fn key(settings: &Settings, action: &KeyAction) -> Result<(), Failure> {
    match action {
        KeyAction::Create {
            name,
            role,
            expires_at,
            of: scope,
        } => {
            let body = json!({ "name": name, "role": role, "expiresAt": expires_at });
            let answer = client(settings, &scope.remote)?
                .post(&of(scope, "api-keys")?, &body)
                .await?;
            show(&scope.remote, &answer, || {
                format!(
                    "{} {}\ntoken (shown this once): {}",
                    text(&answer["apiKey"], "id"),
                    text(&answer["apiKey"], "role"),
                    text(&answer, "token")
                )
            });
        }
        KeyAction::List { of: scope } => {
            let keys = client(settings, &scope.remote)?
                .list(&of(scope, "api-keys")?, "apiKeys")
                .await?;
            let columns = [
                "id",
                "name",
                "role",
                "hint",
                "usedAt",
                "expiresAt",
                "revokedAt",
            ];
            list(&scope.remote, "apiKeys", keys, &columns);
        }
        KeyAction::Revoke { id, of: scope } => {
            let path = of(scope, &format!("api-keys/{}", part(id)?))?;
            let answer = client(settings, &scope.remote)?.delete(&path).await?;
            show(&scope.remote, &answer, || format!("{id} is revoked"));
        }
    }
    Ok(())
}
