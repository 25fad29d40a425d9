//! The OpenAPI document: what all routes share, and what is added to each operation.

use std::collections::BTreeSet;

use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, InfoBuilder, ObjectBuilder, OpenApi, OpenApiBuilder, Ref,
    RefOr, Required, ResponseBuilder, Schema, Type,
};
use utoipa::{PartialSchema, ToSchema};

use crate::errors::{ErrorBody, ErrorDetail};

/// The name of the security scheme.
pub const BEARER: &str = "bearer";

/// The tag of webhooks: of the routes that providers call, which need no credential of ours, and of what tells of them.
const WEBHOOKS: &str = "webhooks";

/// Where the routes of a tenant stand.
pub const TENANT_PREFIX: &str = "/api/tenants/{tenant}";

const DESCRIPTION: &str = "Waxwing is a self-hosted, multi-tenant WhatsApp Business platform.\n\n\
    Every path below `/api/tenants/{tenant}` also answers at `/tenants/{tenant}/…`, and at `/api/…` for the caller's \
    own tenant: that of an API key, the one a person chose, or the default tenant for the platform admin. `default` may \
    stand for the default tenant's id.\n\n\
    What a caller may do depends on the role: `owner`, `manager`, `sales`, `operations`, `field_staff` or `viewer`. \
    Another tenant's ids look like ids that nobody has. A request with the cookie of a login needs the header \
    `x-waxwing-csrf: 1` when it changes something.\n\n\
    Lists take `limit` and `cursor` and carry `nextCursor`, which is null on the last page. Times are RFC 3339 in UTC. \
    Secrets can be written and never read. Every answer carries `x-request-id`.";

/// The document that the routes are added to.
#[must_use]
pub fn base() -> OpenApi {
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some(
            "An API key (`wax_…`), the token of a login, or the platform admin's token (`ADMIN_TOKEN`).",
        ))
        .build();
    let components = ComponentsBuilder::new()
        .security_scheme(BEARER, SecurityScheme::Http(bearer))
        .schema(ErrorBody::name(), ErrorBody::schema())
        .schema(ErrorDetail::name(), ErrorDetail::schema())
        .build();
    OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("Waxwing")
                .version(env!("CARGO_PKG_VERSION"))
                .description(Some(DESCRIPTION))
                .build(),
        )
        .components(Some(components))
        .security(Some([SecurityRequirement::new::<_, [&str; 0], &str>(
            BEARER,
            [],
        )]))
        .build()
}

/// Adds to every operation what follows from where it stands: the tenant of its path, and the errors that its input
/// and its credentials can meet.
pub fn complete(document: &mut OpenApi) {
    for (path, item) in &mut document.paths.paths {
        for operation in operations(item) {
            let names = path_names(path);
            if names.contains("tenant") {
                add_tenant(operation);
            }
            // What providers call answers them, and failures without a body.
            let called_by_provider = operation.security.is_some()
                && operation
                    .tags
                    .as_ref()
                    .is_some_and(|tags| tags.iter().any(|tag| tag == WEBHOOKS));
            if !called_by_provider {
                add_errors(operation, !names.is_empty());
            }
        }
    }
}

/// The operations of a path.
pub fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [
        &mut item.get,
        &mut item.put,
        &mut item.post,
        &mut item.delete,
        &mut item.patch,
    ]
    .into_iter()
    .filter_map(Option::as_mut)
}

/// The names of the parameters of a path.
fn path_names(path: &str) -> BTreeSet<&str> {
    path.split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .collect()
}

fn add_tenant(operation: &mut Operation) {
    let parameters = operation.parameters.get_or_insert_default();
    if parameters
        .iter()
        .any(|one| parameter(one).is_some_and(|known| known.name == "tenant"))
    {
        return;
    }
    parameters.insert(
        0,
        RefOr::T(path_parameter(
            "tenant",
            "The tenant's id, or `default`.",
            "default",
        )),
    );
}

/// A parameter that stands in the operation itself, as all that this program makes do.
fn parameter(parameter: &RefOr<Parameter>) -> Option<&Parameter> {
    match parameter {
        RefOr::T(parameter) => Some(parameter),
        RefOr::Ref(_) => None,
    }
}

fn path_parameter(name: &str, description: &str, example: &str) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some(description))
        .schema(Some(RefOr::T(Schema::Object(
            ObjectBuilder::new().schema_type(Type::String).build(),
        ))))
        .example(Some(example.into()))
        .build()
}

fn add_errors(operation: &mut Operation, has_names: bool) {
    let open = operation.security.is_some();
    let mut errors = vec![("500", "Something went wrong inside.")];
    if !open {
        errors.push(("401", "No credential, or one that is not known."));
        errors.push(("403", "The credential does not allow it."));
        errors.push((
            "429",
            "The credential, or the tenant, is too fast; try again after `Retry-After` seconds.",
        ));
    }
    if !open || operation.request_body.is_some() {
        errors.push((
            "503",
            "The database is away or busy; try again after `Retry-After` seconds.",
        ));
    }
    if has_names {
        errors.push(("404", "There is no such resource."));
    }
    let query = operation.parameters.as_ref().is_some_and(|all| {
        all.iter()
            .any(|one| parameter(one).is_some_and(|known| known.parameter_in == ParameterIn::Query))
    });
    if operation.request_body.is_some() {
        errors.push(("413", "The body is too long."));
        errors.push(("415", "The body is not `application/json`."));
    }
    if operation.request_body.is_some() || query {
        errors.push(("400", "The request cannot be read."));
        errors.push((
            "422",
            "Readable, but not valid: `details` names the fields.",
        ));
    }
    for (status, description) in errors {
        operation
            .responses
            .responses
            .entry(status.to_owned())
            .or_insert_with(|| {
                let body = ContentBuilder::new()
                    .schema(Some(Ref::from_schema_name(ErrorBody::name())))
                    .build();
                let response = ResponseBuilder::new()
                    .description(description)
                    .content("application/json", body)
                    .build();
                RefOr::T(response)
            });
    }
}
