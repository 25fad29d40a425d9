//! What the conversation workers keep of tenants: compiled rules and templates, by config version.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use waxwing_core::flow::CompiledFlowSet;
use waxwing_core::ids::TenantId;
use waxwing_core::settings::TenantSettings;
use waxwing_core::template::Template;
use waxwing_store::domain::tenants;
use waxwing_store::{StoreError, Tx};

/// How many tenants are kept; beyond, the cache starts anew.
const CACHED_MAX: usize = 5_000;

/// A tenant's rules, ready to be used.
#[derive(Debug, Default)]
pub(crate) struct Config {
    version: i64,
    pub(crate) settings: TenantSettings,
    pub(crate) templates: BTreeMap<String, Arc<Template>>,
    pub(crate) flows: CompiledFlowSet,
}

/// The cache. Whether an entry is current is asked in each transaction, so it needs no invalidation.
#[derive(Debug, Clone, Default)]
pub(crate) struct ConfigCache(Arc<Mutex<HashMap<TenantId, Arc<Config>>>>);

impl ConfigCache {
    /// The current rules of tenants. A tenant that is gone has none.
    pub(crate) fn current(
        &self,
        tx: &mut Tx<'_>,
        tenants: &[TenantId],
    ) -> Result<HashMap<TenantId, Arc<Config>>, StoreError> {
        let versions = tenants::config_versions(tx, tenants)?;
        let mut configs = HashMap::with_capacity(tenants.len());
        for (tenant, version) in tenants.iter().zip(versions) {
            let kept = self.lock().get(tenant).cloned();
            let config = match kept {
                Some(kept) if Some(kept.version) == version => kept,
                _ => self.load(tx, *tenant)?,
            };
            configs.insert(*tenant, config);
        }
        Ok(configs)
    }

    fn load(&self, tx: &mut Tx<'_>, tenant: TenantId) -> Result<Arc<Config>, StoreError> {
        let Some(loaded) = tenants::load_tenant_config(tx, tenant)? else {
            return Ok(Arc::default());
        };
        let config = Arc::new(Config {
            version: loaded.config_version,
            settings: loaded.settings,
            templates: loaded
                .templates
                .into_iter()
                .map(|(key, template)| (key, Arc::new(template)))
                .collect(),
            flows: CompiledFlowSet::new(&loaded.flows),
        });
        let mut cache = self.lock();
        if cache.len() >= CACHED_MAX {
            cache.clear();
        }
        cache.insert(tenant, Arc::clone(&config));
        Ok(config)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<TenantId, Arc<Config>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
