//! Contacts and the aliases they are recognised by.

pub(super) mod identity;
pub(super) mod listing;
pub mod merges;
#[cfg(test)]
mod tests;

use waxwing_core::consent::Marketing;
use waxwing_core::identity::{Alias, Bsuid, Identity};
use waxwing_core::ids::{ContactId, TenantId};
use waxwing_core::phone::Phone;
use waxwing_core::time::Timestamp;

pub use self::identity::{NewIds, change_ids, marketing, set_marketing};
pub use self::listing::{ContactRecord, Filter, list, record, set_blocked};
use super::crypto::{BlindPurpose, Keyring, Place};
use super::{contents, erasure};
use crate::{StoreError, Tx, Value, inserts, params, row, statements};

inserts! {
    ADD [tenant] = contacts(tenant_id uuid, id uuid, phone_sealed bytes, user_id_sealed bytes, username_sealed bytes,
        profile_name text, profile_name_sealed bytes, created_at time, updated_at time) "";
}

statements! {
    FIND [tenant] = "SELECT c.id, c.profile_name, c.phone_sealed, c.user_id_sealed, c.marketing, c.blocked_at, c.profile_name_sealed FROM contact_aliases a \
        JOIN contacts c ON c.tenant_id = a.tenant_id AND c.id = a.contact_id \
        WHERE a.tenant_id = $1 AND a.kind = $2 AND a.value_hash = $3";
    GET [tenant] = "SELECT id, profile_name, phone_sealed, user_id_sealed, marketing, blocked_at, profile_name_sealed FROM contacts WHERE tenant_id = $1 AND id = $2";
    ADD_ALIAS [tenant] = "INSERT INTO contact_aliases (tenant_id, kind, value_hash, contact_id, created_at) \
        VALUES ($1, $2, $3, $4, $5) ON CONFLICT (tenant_id, kind, value_hash) DO NOTHING";
    UPDATE [tenant] = "UPDATE contacts SET profile_name = CASE WHEN $8 THEN $3 ELSE profile_name END, \
        profile_name_sealed = CASE WHEN $8 THEN $9 ELSE profile_name_sealed END, \
        phone_sealed = COALESCE($4, phone_sealed), user_id_sealed = COALESCE($5, user_id_sealed), \
        username_sealed = COALESCE($6, username_sealed), updated_at = $7 WHERE tenant_id = $1 AND id = $2";
}

row! {
    /// A contact as conversations need it. No `Debug`: it holds a name.
    #[derive(Clone)]
    pub struct ContactRow {
        id: ContactId,
        profile_name: Option<String>,
        phone_sealed: Option<Vec<u8>>,
        user_id_sealed: Option<Vec<u8>>,
        marketing: Option<String>,
        blocked_at: Option<Timestamp>,
        profile_name_sealed: Option<Vec<u8>>,
    }
}

impl ContactRow {
    /// The name that the person gave themselves.
    ///
    /// # Errors
    /// When the stored value does not open.
    pub fn name(&self, keyring: &Keyring, tenant: TenantId) -> Result<Option<String>, StoreError> {
        let sealed = self.profile_name_sealed.as_deref();
        contents::read_name(keyring, tenant, self.id, self.profile_name.clone(), sealed)
    }

    /// The contact's phone.
    ///
    /// # Errors
    /// When the stored value does not open.
    pub fn phone(&self, keyring: &Keyring, tenant: TenantId) -> Result<Option<Phone>, StoreError> {
        open_phone(keyring, tenant, self.id, self.phone_sealed.as_deref())
    }

    /// The contact's user id.
    ///
    /// # Errors
    /// When the stored value does not open.
    pub fn user_id(
        &self,
        keyring: &Keyring,
        tenant: TenantId,
    ) -> Result<Option<Bsuid>, StoreError> {
        open_user_id(keyring, tenant, self.id, self.user_id_sealed.as_deref())
    }
}

/// Opens the sealed phone of a contact.
///
/// # Errors
/// When the stored value does not open.
pub fn open_phone(
    keyring: &Keyring,
    tenant: TenantId,
    id: ContactId,
    sealed: Option<&[u8]>,
) -> Result<Option<Phone>, StoreError> {
    let Some(sealed) = sealed else {
        return Ok(None);
    };
    let text = keyring.open_text(
        tenant,
        Place::new("contacts", "phone_sealed", &id.uuid()),
        sealed,
    )?;
    Phone::from_wa_id(&text)
        .map(Some)
        .map_err(|_| StoreError::corrupt("a contact's phone is not a number"))
}

/// Opens the sealed user id of a contact.
///
/// # Errors
/// When the stored value does not open.
pub fn open_user_id(
    keyring: &Keyring,
    tenant: TenantId,
    id: ContactId,
    sealed: Option<&[u8]>,
) -> Result<Option<Bsuid>, StoreError> {
    let Some(sealed) = sealed else {
        return Ok(None);
    };
    let text = keyring.open_text(
        tenant,
        Place::new("contacts", "user_id_sealed", &id.uuid()),
        sealed,
    )?;
    Bsuid::parse(&text)
        .map(Some)
        .ok_or_else(|| StoreError::corrupt("a contact's user id has another form"))
}

fn alias_key(keyring: &Keyring, tenant: TenantId, alias: &Alias) -> Vec<Value> {
    let hash = keyring.blind(
        tenant,
        BlindPurpose::Alias,
        &[alias.kind.as_str().as_bytes(), alias.value.as_bytes()],
    );
    params![tenant, alias.kind.as_str(), hash].to_vec()
}

/// The contacts behind identities: for each the one that its strongest known alias leads to.
///
/// # Errors
/// What the database says.
pub fn find_many(
    tx: &mut Tx<'_>,
    keyring: &Keyring,
    identities: &[(TenantId, &Identity)],
) -> Result<Vec<Option<ContactRow>>, StoreError> {
    let mut sets = Vec::new();
    let mut owners = Vec::new();
    for (index, (tenant, identity)) in identities.iter().enumerate() {
        for alias in identity.aliases() {
            sets.push(alias_key(keyring, *tenant, &alias));
            owners.push(index);
        }
    }
    let mut found: Vec<Option<ContactRow>> = vec![None; identities.len()];
    for (owner, rows) in owners
        .into_iter()
        .zip(tx.query_many::<ContactRow>(&FIND, &sets)?)
    {
        if found[owner].is_none() {
            found[owner] = rows.into_iter().next();
        }
    }
    Ok(found)
}

/// One contact.
///
/// # Errors
/// What the database says.
pub fn get(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    id: ContactId,
) -> Result<Option<ContactRow>, StoreError> {
    tx.query_opt(&GET, &params![tenant, id])
}

/// A contact to create.
#[derive(Clone)]
pub struct NewContact<'a> {
    /// Its tenant.
    pub tenant_id: TenantId,
    /// Its id.
    pub id: ContactId,
    /// Its ids on WhatsApp.
    pub identity: &'a Identity,
    /// The name the person gave themselves.
    pub profile_name: Option<&'a str>,
}

/// Creates contacts with their aliases.
///
/// # Errors
/// [`StoreError::Busy`] when another transaction created the same person in between: run the closure again.
pub fn create_many(
    tx: &mut Tx<'_>,
    keyring: &Keyring,
    contacts: &[NewContact<'_>],
    now: Timestamp,
) -> Result<(), StoreError> {
    let mut rows = Vec::with_capacity(contacts.len());
    let mut aliases = Vec::with_capacity(contacts.len());
    let (mut known, mut owners) = (Vec::new(), Vec::new());
    for contact in contacts {
        let sealed = SealedIdentity::new(keyring, contact.tenant_id, contact.id, contact.identity);
        let (tenant, id) = (contact.tenant_id, contact.id);
        let (name, name_sealed) = contents::store_name(keyring, tenant, id, contact.profile_name);
        rows.push(params![
            contact.tenant_id,
            contact.id,
            sealed.phone,
            sealed.user_id,
            sealed.username,
            name,
            name_sealed,
            now,
            now
        ]);
        for alias in contact.identity.aliases() {
            let mut key = alias_key(keyring, contact.tenant_id, &alias);
            known.push(key.clone());
            owners.push((contact.tenant_id, contact.id));
            key.extend([contact.id.into(), now.into()]);
            aliases.push(key);
        }
    }
    tx.insert_many(&ADD, &rows)?;
    if tx.execute_many(&ADD_ALIAS, &aliases)?.contains(&0) {
        return Err(StoreError::Busy);
    }
    // Somebody who was erased and comes back still wants no marketing.
    for ((tenant, contact), since) in owners.into_iter().zip(erasure::suppressed(tx, &known)?) {
        if let Some(since) = since {
            set_marketing(tx, tenant, contact, Marketing::OptedOut, since, now)?;
        }
    }
    Ok(())
}

/// Adds what an item taught about a known contact: a new name, a new alias. Where an alias leads to another contact, that
/// one is the answer: the two may be one person (see [`merges`]). This one keeps what it has.
///
/// # Errors
/// What the database says.
pub fn learn(
    tx: &mut Tx<'_>,
    keyring: &Keyring,
    tenant: TenantId,
    known: &ContactRow,
    identity: &Identity,
    profile_name: Option<&str>,
    now: Timestamp,
) -> Result<Option<ContactId>, StoreError> {
    let mut fresh = identity.clone();
    if known.phone_sealed.is_some() {
        fresh.phone = None;
    }
    if known.user_id_sealed.is_some() {
        fresh.user_id = None;
    }
    let present = known.name(keyring, tenant)?;
    let new_name = profile_name.filter(|name| present.as_deref() != Some(name));
    if new_name.is_none() && fresh.phone.is_none() && fresh.user_id.is_none() {
        return Ok(None);
    }
    let mut taken = None;
    for alias in fresh.aliases() {
        let mut key = alias_key(keyring, tenant, &alias);
        key.extend([known.id.into(), now.into()]);
        if tx.execute(&ADD_ALIAS, &key)? == 0 {
            let owner = tx.query_opt::<ContactRow>(&FIND, &key[..3])?;
            taken = taken.or(owner.map(|owner| owner.id).filter(|id| *id != known.id));
            match alias.kind {
                waxwing_core::identity::AliasKind::Phone => fresh.phone = None,
                waxwing_core::identity::AliasKind::UserId => fresh.user_id = None,
            }
        }
    }
    let sealed = SealedIdentity::new(keyring, tenant, known.id, &fresh);
    let (name, name_sealed) = contents::store_name(keyring, tenant, known.id, new_name);
    tx.execute(
        &UPDATE,
        &params![
            tenant,
            known.id,
            name,
            sealed.phone,
            sealed.user_id,
            sealed.username,
            now,
            new_name.is_some(),
            name_sealed
        ],
    )?;
    Ok(taken)
}

struct SealedIdentity {
    phone: Option<Vec<u8>>,
    user_id: Option<Vec<u8>>,
    username: Option<Vec<u8>>,
}

impl SealedIdentity {
    fn new(keyring: &Keyring, tenant: TenantId, id: ContactId, identity: &Identity) -> Self {
        let row = id.uuid();
        let seal = |column, text: &str| {
            keyring.seal(
                tenant,
                Place::new("contacts", column, &row),
                text.as_bytes(),
            )
        };
        Self {
            phone: identity
                .phone
                .as_ref()
                .map(|phone| seal("phone_sealed", &phone.e164())),
            user_id: identity
                .user_id
                .as_ref()
                .map(|user| seal("user_id_sealed", user.as_str())),
            username: identity
                .username
                .as_ref()
                .map(|name| seal("username_sealed", name)),
        }
    }
}
