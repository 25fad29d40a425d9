//! Every operation of the OpenAPI document, walked with every role and every kind of credential. What a route asks is
//! said once, in the table of access; here it is held to that, and a route that the table does not know fails.

use std::collections::BTreeMap;

use http::{Method, StatusCode};
use serde_json::Value;
use uuid::Uuid;
use waxwing_api::access::{self, Access};
use waxwing_app::accounts::tokens::TokenKind;
use waxwing_core::access::Role;
use waxwing_core::account::{Email, SESSION_IDLE};
use waxwing_core::ids::{ApiKeyId, SessionId, TenantId, UserId};
use waxwing_core::settings::TenantSettings;
use waxwing_store::domain::api_keys::{self, ApiKeyRecord};
use waxwing_store::domain::sessions::{self, SessionKind, SessionRecord};
use waxwing_store::domain::{keys, tenants, users};

use crate::support::{ADMIN, Answer, Api};

/// An operation with an address that leads to nothing.
struct Operation {
    method: String,
    documented: String,
    access: Access,
    action: Option<&'static str>,
}

impl Operation {
    fn path(&self, tenant: &str) -> String {
        let mut path = self.documented.replace("{tenant}", tenant);
        while let Some((before, rest)) = path.split_once('{') {
            let (_, after) = rest.split_once('}').unwrap();
            path = format!("{before}none{after}");
        }
        path
    }
}

fn operations() -> Vec<Operation> {
    let document = serde_json::to_value(waxwing_api::routes::document()).unwrap();
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            let method = method.to_uppercase();
            let known = Method::from_bytes(method.as_bytes()).unwrap();
            let asked = access::of(&known, path)
                .unwrap_or_else(|| panic!("{method} {path} has no entry in the table of access"));
            all.push(Operation {
                method,
                documented: path.clone(),
                access: asked.access,
                action: asked.action,
            });
        }
    }
    assert!(all.len() > 60, "the document has {} operations", all.len());
    all
}

/// A tenant with a person and a key of every role; their tokens.
struct Members {
    tenant: TenantId,
    sessions: BTreeMap<Role, String>,
    keys: BTreeMap<Role, String>,
}

fn id(n: u128) -> Uuid {
    Uuid::from_u128(0x0190_0000_0000_7000_9000_0000_0000_0000 + n)
}

impl Members {
    async fn make(api: &Api, of: u128) -> Self {
        let tenant = TenantId::from_uuid(id(of));
        let mut sessions = BTreeMap::new();
        let mut keys = BTreeMap::new();
        let now = api.state.now();
        let keyring = api.state.keyring.clone();
        let made = api.state.store.write(move |tx| {
            tenants::create(tx, tenant, "T", &TenantSettings::default(), now)?;
            keys::make(tx, &keyring, tenant, now)
        });
        made.await.unwrap();
        for (n, role) in (1_u128..).zip(Role::ALL) {
            let seed = of + n;
            sessions.insert(role, session(api, Some((tenant, role)), seed, false).await);
            keys.insert(role, key(api, tenant, role, seed, Ended::No).await);
        }
        Self {
            tenant,
            sessions,
            keys,
        }
    }
}

/// A person with a session; expired when wanted.
async fn session(api: &Api, of: Option<(TenantId, Role)>, seed: u128, expired: bool) -> String {
    let token = TokenKind::Session.fresh();
    let hash = TokenKind::Session.hash(&api.state.keyring, token.expose());
    let (hash, now) = (hash.unwrap(), api.state.now());
    let user = UserId::from_uuid(id(seed));
    let begun = if expired {
        now.minus(SESSION_IDLE)
    } else {
        now
    };
    let write = api.state.store.write(move |tx| {
        let email = Email::parse(&format!("user{seed}@example.com")).unwrap();
        let new = users::NewUser {
            id: user,
            email: &email,
            name: "U",
            password_hash: "none",
        };
        users::add(tx, &new, now)?;
        if let Some((tenant, role)) = of {
            users::join(tx, tenant, user, role, now)?;
        }
        let session = SessionRecord {
            id: SessionId::from_uuid(id(seed)),
            user_id: user,
            kind: SessionKind::Bearer,
            tenant_id: of.map(|(tenant, _)| tenant),
            created_at: begun,
            seen_at: begun,
        };
        sessions::begin(tx, &session, &hash)
    });
    write.await.unwrap();
    token.expose().to_owned()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ended {
    No,
    Expired,
    Revoked,
}

async fn key(api: &Api, tenant: TenantId, role: Role, seed: u128, ended: Ended) -> String {
    let token = TokenKind::ApiKey.fresh();
    let hash = TokenKind::ApiKey.hash(&api.state.keyring, token.expose());
    let (hash, now) = (hash.unwrap(), api.state.now());
    let write = api.state.store.write(move |tx| {
        let key = ApiKeyRecord {
            tenant_id: tenant,
            id: ApiKeyId::from_uuid(id(seed)),
            name: "K".into(),
            role,
            hint: "wax_".into(),
            created_at: now,
            expires_at: (ended == Ended::Expired).then_some(now),
            used_at: None,
            revoked_at: None,
        };
        api_keys::add(tx, &key, &hash)?;
        if ended == Ended::Revoked {
            api_keys::revoke(tx, tenant, key.id, now)?;
        }
        Ok(())
    });
    write.await.unwrap();
    token.expose().to_owned()
}

async fn call(api: &Api, token: Option<&str>, operation: &Operation, tenant: &str) -> Answer {
    api.call_as(token, &operation.method, &operation.path(tenant), None)
        .await
}

/// Whether the answer came from behind the door.
fn is_inside(status: StatusCode) -> bool {
    status != StatusCode::UNAUTHORIZED && status != StatusCode::FORBIDDEN
}

#[tokio::test]
async fn nobody_comes_in_without_a_credential_that_is_good() {
    let api = Api::new().await;
    let members = Members::make(&api, 0x100).await;
    let tenant = members.tenant.to_string();
    let expired = session(&api, Some((members.tenant, Role::Owner)), 0x200, true).await;
    let old_key = key(&api, members.tenant, Role::Owner, 0x201, Ended::Expired).await;
    let gone_key = key(&api, members.tenant, Role::Owner, 0x202, Ended::Revoked).await;
    let strange = TokenKind::ApiKey.fresh();
    let bad = [
        None,
        Some("x"),
        Some(&ADMIN[1..]),
        Some(strange.expose()),
        Some(&*expired),
        Some(&*old_key),
        Some(&*gone_key),
    ];
    for operation in operations() {
        if operation.access == Access::Public {
            continue;
        }
        let here = format!("{} {}", operation.method, operation.documented);
        let mut texts = Vec::new();
        for token in bad {
            let answer = call(&api, token, &operation, &tenant).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{here}");
            texts.push(answer.text);
        }
        assert!(texts.windows(2).all(|two| two[0] == two[1]), "{here}");
    }
    api.end().await;
}

#[tokio::test]
async fn every_role_may_what_the_table_says() {
    let api = Api::new().await;
    let members = Members::make(&api, 0x100).await;
    let tenant = members.tenant.to_string();
    for operation in operations() {
        // What would end the very credential that walks.
        if operation.documented == "/api/auth/logout" {
            continue;
        }
        let here = format!("{} {}", operation.method, operation.documented);
        for role in Role::ALL {
            let (person, program) = match operation.access {
                Access::Public => continue,
                Access::Person => (true, false),
                Access::Platform => (false, false),
                Access::Tenant(action) => (role.may(action), role.may(action)),
            };
            for (token, may) in [
                (&members.sessions[&role], person),
                (&members.keys[&role], program),
            ] {
                let answer = call(&api, Some(token), &operation, &tenant).await;
                assert_eq!(
                    is_inside(answer.status),
                    may,
                    "{here} {role}: {}",
                    answer.text
                );
            }
        }
        let admin = matches!(operation.access, Access::Platform | Access::Tenant(_));
        if operation.access != Access::Public {
            let answer = call(&api, Some(ADMIN), &operation, &tenant).await;
            assert_eq!(is_inside(answer.status), admin, "{here}: {}", answer.text);
        }
    }
    api.end().await;
}

#[tokio::test]
async fn another_tenants_owner_sees_nothing_that_is_there() {
    let api = Api::new().await;
    let members = Members::make(&api, 0x100).await;
    let other = Members::make(&api, 0x300).await;
    let nowhere = session(&api, None, 0x400, false).await;
    let (theirs, random) = (
        members.tenant.to_string(),
        TenantId::from_uuid(id(0x999)).to_string(),
    );
    let mut walked = 0;
    for operation in operations() {
        let of_tenant = matches!(operation.access, Access::Tenant(_));
        if !of_tenant || !operation.documented.contains("{tenant}") {
            continue;
        }
        walked += 1;
        let here = format!("{} {}", operation.method, operation.documented);
        for token in [
            &other.sessions[&Role::Owner],
            &other.keys[&Role::Owner],
            &nowhere,
        ] {
            let real = call(&api, Some(token), &operation, &theirs).await;
            let none = call(&api, Some(token), &operation, &random).await;
            assert_eq!(real.status, StatusCode::NOT_FOUND, "{here}");
            assert_eq!((real.status, real.text), (none.status, none.text), "{here}");
        }
    }
    assert!(walked > 40, "{walked}");
    api.end().await;
}

#[tokio::test]
async fn a_route_asks_the_same_at_each_of_its_addresses() {
    let api = Api::new().await;
    let members = Members::make(&api, 0x100).await;
    let viewer = Some(&*members.sessions[&Role::Viewer]);
    for operation in operations() {
        let Some(rest) = operation.documented.strip_prefix("/api/tenants/{tenant}/") else {
            continue;
        };
        let Access::Tenant(action) = operation.access else {
            panic!("{rest} stands below a tenant and asks for none");
        };
        for prefix in ["/tenants/{tenant}/", "/api/"] {
            let alias = Operation {
                method: operation.method.clone(),
                documented: format!("{prefix}{rest}"),
                access: operation.access,
                action: operation.action,
            };
            let answer = call(&api, viewer, &alias, &members.tenant.to_string()).await;
            let may = Role::Viewer.may(action);
            assert_eq!(is_inside(answer.status), may, "{}", alias.documented);
            let answer = call(&api, None, &alias, &members.tenant.to_string()).await;
            assert_eq!(
                answer.status,
                StatusCode::UNAUTHORIZED,
                "{}",
                alias.documented
            );
        }
    }
    api.end().await;
}

#[test]
fn the_document_asks_for_credentials_where_the_table_does() {
    let document: Value = serde_json::to_value(waxwing_api::routes::document()).unwrap();
    for operation in operations() {
        let described = &document["paths"][&operation.documented][operation.method.to_lowercase()];
        let open = described["security"].is_array();
        let public = operation.access == Access::Public;
        assert_eq!(
            open, public,
            "{} {}",
            operation.method, operation.documented
        );
    }
}
