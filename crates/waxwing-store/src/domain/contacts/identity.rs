//! What WhatsApp tells about a person besides their messages: a new number, a new user id, a wish about marketing.

use waxwing_core::consent::Marketing;
use waxwing_core::identity::{Alias, AliasKind, Bsuid, Identity};
use waxwing_core::ids::{ContactId, TenantId};
use waxwing_core::phone::Phone;
use waxwing_core::time::Timestamp;

use super::{SealedIdentity, alias_key};
use crate::domain::crypto::Keyring;
use crate::{StoreError, Tx, params, statements};

statements! {
    ADD_ALIAS [tenant] = "INSERT INTO contact_aliases (tenant_id, kind, value_hash, contact_id, created_at) \
        VALUES ($1, $2, $3, $4, $5) ON CONFLICT (tenant_id, kind, value_hash) DO NOTHING";
    OWNER [tenant] = "SELECT contact_id FROM contact_aliases WHERE tenant_id = $1 AND kind = $2 AND value_hash = $3";
    DROP_ALIAS [tenant] = "DELETE FROM contact_aliases WHERE tenant_id = $1 AND kind = $2 AND value_hash = $3 AND contact_id = $4";
    REPLACE [tenant] = "UPDATE contacts SET phone_sealed = COALESCE($3, phone_sealed), user_id_sealed = COALESCE($4, user_id_sealed), \
        updated_at = $5 WHERE tenant_id = $1 AND id = $2";
    MARKETING [tenant] = "SELECT marketing FROM contacts WHERE tenant_id = $1 AND id = $2";
    /// WhatsApp tells whole seconds: of two wishes in one, the one that is heard last counts.
    SET_MARKETING [tenant] = "UPDATE contacts SET marketing = $3, marketing_at = $4, updated_at = $5 \
        WHERE tenant_id = $1 AND id = $2 AND (marketing_at IS NULL OR marketing_at < $4 \
        OR (marketing_at = $4 AND marketing <> $3))";
}

/// The ids that take the place of a contact's present ones.
#[derive(Debug, Clone, Default)]
pub struct NewIds {
    /// The new phone.
    pub phone: Option<Phone>,
    /// The phone that is theirs no longer. Whoever has it next is somebody else.
    pub former_phone: Option<Phone>,
    /// The new user id.
    pub user_id: Option<Bsuid>,
}

/// Gives a contact new ids. Where one leads to another contact already, nothing of it is changed and that contact is the
/// answer.
///
/// # Errors
/// What the database says.
pub fn change_ids(
    tx: &mut Tx<'_>,
    keyring: &Keyring,
    tenant: TenantId,
    contact: ContactId,
    ids: &NewIds,
    now: Timestamp,
) -> Result<Option<ContactId>, StoreError> {
    let mut fresh = Identity {
        phone: ids.phone.clone(),
        user_id: ids.user_id.clone(),
        ..Identity::default()
    };
    let mut taken = None;
    for alias in fresh.aliases() {
        let mut key = alias_key(keyring, tenant, &alias);
        key.extend([contact.into(), now.into()]);
        if tx.execute(&ADD_ALIAS, &key)? > 0 {
            continue;
        }
        let owner = tx.query_opt::<ContactId>(&OWNER, &key[..3])?;
        if let Some(owner) = owner.filter(|owner| *owner != contact) {
            taken = Some(owner);
            match alias.kind {
                AliasKind::Phone => fresh.phone = None,
                AliasKind::UserId => fresh.user_id = None,
            }
        }
    }
    let replaced = fresh.phone.as_ref().map(Phone::matching_digits);
    if let Some(former) = ids.former_phone.as_ref().map(Phone::matching_digits)
        && replaced.is_some_and(|new| new != former)
    {
        let alias = Alias {
            kind: AliasKind::Phone,
            value: former,
        };
        let mut key = alias_key(keyring, tenant, &alias);
        key.push(contact.into());
        tx.execute(&DROP_ALIAS, &key)?;
    }
    let sealed = SealedIdentity::new(keyring, tenant, contact, &fresh);
    let row = params![tenant, contact, sealed.phone, sealed.user_id, now];
    tx.execute(&REPLACE, &row)?;
    Ok(taken)
}

/// What a contact said about marketing last.
///
/// # Errors
/// What the database says.
pub fn marketing(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    contact: ContactId,
) -> Result<Option<Marketing>, StoreError> {
    let word = tx.query_opt::<Option<String>>(&MARKETING, &params![tenant, contact])?;
    Ok(word.flatten().as_deref().and_then(Marketing::parse))
}

/// Notes what a person said about marketing at a moment. `false` when something newer is known.
///
/// # Errors
/// What the database says.
pub fn set_marketing(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    contact: ContactId,
    marketing: Marketing,
    at: Timestamp,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let row = params![tenant, contact, marketing.as_str(), at, now];
    Ok(tx.execute(&SET_MARKETING, &row)? == 1)
}
