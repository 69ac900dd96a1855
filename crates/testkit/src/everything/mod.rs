//! An MCP server with a fixture for everything that the official conformance suite calls, and some that only our own
//! tests call. It speaks either era or both, over Streamable HTTP, HTTP+SSE, WebSocket, framed TCP and stdio.
#![expect(deprecated, reason = "what a revision deprecates is still served in it")]

mod answer;
mod ask;
mod catalogue;
mod hub;
mod inline;
mod input;
mod prompt;
mod resource;
pub mod serve;
mod skill;
mod task;
mod tool;

use std::borrow::Cow;
use std::str::FromStr;
use std::sync::Arc;

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CancelTaskParams, CompleteRequestParams, CompleteResult,
    CompletionInfo, GetPromptRequestParams, GetPromptResponse, GetSkillRequestParams, GetSkillResult,
    GetTaskParams, GetTaskResult, Implementation, ListPromptsResult, ListResourceTemplatesResult,
    ListResourcesResult, ListSkillsResult, ListToolsResult, PaginatedRequestParams, ProtocolVersion,
    ReadResourceDirectoryRequestParams, ReadResourceDirectoryResult, ReadResourceRequestParams,
    ReadResourceResponse, ServerCapabilities, ServerConfig, SetLevelRequestParams, SubscribeRequestParams,
    SubscriptionFilter, Tool, UnsubscribeRequestParams, UpdateTaskParams,
};
use rmcp::service::{NotificationContext, RequestContext, SubscriptionContext};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::{ErrorData, RoleServer, ServerHandler};

use catalogue::Catalogue;
pub use hub::Hub;

/// Which revisions the server speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Era {
    /// 2024-11-05 to 2025-11-25: `initialize` and sessions.
    Legacy,
    /// 2026-07-28: self-contained requests.
    Modern,
    /// Both on one endpoint.
    #[default]
    Dual,
}

impl FromStr for Era {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "legacy" => Ok(Self::Legacy),
            "modern" => Ok(Self::Modern),
            "dual" => Ok(Self::Dual),
            other => Err(format!("`{other}` is not legacy, modern or dual")),
        }
    }
}

/// How a server is set up.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Which revisions it speaks.
    pub era: Era,
    /// Items on one page of a list; `None`: all on one.
    pub page: Option<usize>,
    /// Makes the instructions and the server's name tell two servers apart.
    pub label: Option<String>,
    /// Further tools `tool_0000`, `tool_0001`, … in the list.
    pub extra_tools: usize,
    /// No fixtures: nothing but the further tools is listed, so that the names of another server stay free.
    pub bare: bool,
    /// The token that opens a framed TCP connection; `None`: any.
    pub token: Option<String>,
    /// Whether the tool `die` ends this process; in a test it would end the test.
    pub mortal: bool,
}

/// One handler of the server; a session, a request or a process has one of its own.
#[derive(Clone)]
pub struct Everything {
    options: Arc<Options>,
    /// What all handlers of one server share.
    hub: Arc<Hub>,
    /// The HTTP sessions, to close an event stream by hand; `None` over stdio.
    sessions: Option<Arc<LocalSessionManager>>,
    /// The level that `logging/setLevel` asked for in this session.
    level: Arc<std::sync::Mutex<Option<rmcp::model::LoggingLevel>>>,
}

impl Everything {
    /// A handler that shares `hub` with the others of its server.
    #[must_use]
    pub fn new(options: Arc<Options>, hub: Arc<Hub>, sessions: Option<Arc<LocalSessionManager>>) -> Self {
        Self {
            options,
            hub,
            sessions,
            level: Arc::default(),
        }
    }

    fn catalogue(&self) -> &'static Catalogue {
        if self.options.bare {
            catalogue::none()
        } else {
            catalogue::get()
        }
    }

    fn skills(&self) -> Vec<rmcp::model::Skill> {
        if self.options.bare {
            Vec::new()
        } else {
            skill::all()
        }
    }
}

impl ServerHandler for Everything {
    fn get_info(&self) -> ServerConfig {
        let mut capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_tool_list_changed()
            .enable_prompts()
            .enable_prompts_list_changed()
            .enable_resources()
            .enable_resources_list_changed()
            .enable_resources_subscribe()
            .enable_completions()
            .enable_tasks()
            .enable_skills_with_directory_read()
            .build();
        capabilities.logging = Some(serde_json::Map::new());
        let apps = serde_json::json!({ "mimeTypes": [resource::APP] });
        if let (Some(extensions), serde_json::Value::Object(apps)) = (&mut capabilities.extensions, apps) {
            extensions.insert("io.modelcontextprotocol/ui".to_owned(), apps);
        }
        let mut info = ServerConfig::new(capabilities);
        let label = self.options.label.as_deref().unwrap_or("everything");
        info.server_info = Implementation::new(label, env!("CARGO_PKG_VERSION"));
        info.instructions = Some(format!("Fixtures for tests ({label})."));
        info
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        match self.options.era {
            Era::Dual => Cow::Borrowed(ProtocolVersion::KNOWN_VERSIONS),
            Era::Modern => Cow::Owned(vec![ProtocolVersion::V_2026_07_28]),
            Era::Legacy => Cow::Borrowed(ProtocolVersion::known_up_to(&ProtocolVersion::V_2025_11_25)),
        }
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        catalogue::get().tool(name)
    }

    async fn list_tools(
        &self,
        params: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let listed = self.catalogue();
        let tools = listed.tools(self.hub.longer().tools, self.options.extra_tools);
        let (tools, next) = catalogue::page(&tools, params, self.options.page)?;
        let mut result = ListToolsResult::with_all_items(tools).with_ttl_ms(60_000);
        result.next_cursor = next;
        Ok(result.with_cache_scope(rmcp::model::CacheScope::Public))
    }

    async fn call_tool(
        &self,
        params: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        self.hub.count(&params.name);
        tool::call(self, params, context).await
    }

    async fn list_prompts(
        &self,
        params: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        let (prompts, next) = catalogue::page(
            &self.catalogue().prompts(self.hub.longer().prompts),
            params,
            self.options.page,
        )?;
        let mut result = ListPromptsResult::with_all_items(prompts).with_ttl_ms(60_000);
        result.next_cursor = next;
        Ok(result)
    }

    async fn get_prompt(
        &self,
        params: GetPromptRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        if ask::modern(&context) {
            return prompt::get(&params);
        }
        inline::get(&params, &context).await
    }

    async fn list_resources(
        &self,
        params: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let (resources, next) = catalogue::page(
            &self.catalogue().resources(self.hub.longer().resources),
            params,
            self.options.page,
        )?;
        let mut result = ListResourcesResult::with_all_items(resources).with_ttl_ms(60_000);
        result.next_cursor = next;
        Ok(result)
    }

    async fn list_resource_templates(
        &self,
        params: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        let (templates, next) = catalogue::page(&self.catalogue().templates, params, self.options.page)?;
        let mut result = ListResourceTemplatesResult::with_all_items(templates).with_ttl_ms(60_000);
        result.next_cursor = next;
        Ok(result)
    }

    async fn read_resource(
        &self,
        params: ReadResourceRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        resource::read(&params.uri).map(ReadResourceResponse::Complete)
    }

    async fn list_skills(
        &self,
        params: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListSkillsResult, ErrorData> {
        let (skills, next) = catalogue::page(&self.skills(), params, self.options.page)?;
        let mut result = ListSkillsResult::with_all_items(skills).with_ttl_ms(60_000);
        result.next_cursor = next;
        Ok(result)
    }

    async fn get_skill(
        &self,
        params: GetSkillRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<GetSkillResult, ErrorData> {
        skill::get(&params.uri).map(GetSkillResult::new)
    }

    async fn read_resource_directory(
        &self,
        params: ReadResourceDirectoryRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceDirectoryResult, ErrorData> {
        let children = skill::children(&params.uri)?;
        let page = params
            .cursor
            .map(|cursor| PaginatedRequestParams::default().with_cursor(Some(cursor)));
        let (children, next) = catalogue::page(&children, page, self.options.page)?;
        let mut result = ReadResourceDirectoryResult::with_all_items(children).with_ttl_ms(60_000);
        result.next_cursor = next;
        Ok(result)
    }

    async fn get_task(
        &self,
        params: GetTaskParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<GetTaskResult, ErrorData> {
        self.hub.tasks().get_task(&params.task_id).map(GetTaskResult::new)
    }

    async fn update_task(
        &self,
        params: UpdateTaskParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        let tasks = self.hub.tasks();
        tasks.update_task(&params.task_id, params.input_responses)
    }

    async fn cancel_task(
        &self,
        params: CancelTaskParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.hub.tasks().cancel_task(&params.task_id)
    }

    async fn complete(
        &self,
        params: CompleteRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        let values = ["paris", "park", "party"]
            .into_iter()
            .filter(|value| value.starts_with(&params.argument.value))
            .map(str::to_owned)
            .collect();
        CompletionInfo::with_all_values(values)
            .map(CompleteResult::new)
            .map_err(|error| ErrorData::internal_error(error, None))
    }

    async fn set_level(
        &self,
        params: SetLevelRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        *hub::lock(&self.level) = Some(params.level);
        Ok(())
    }

    async fn subscribe(
        &self,
        params: SubscribeRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.hub.subscribe(params.uri, context.peer);
        Ok(())
    }

    async fn unsubscribe(
        &self,
        params: UnsubscribeRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.hub.unsubscribe(&params.uri, &context.peer);
        Ok(())
    }

    fn accepted_subscription_filter(&self, requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        self.hub.stream_accepted();
        Some(requested.clone())
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        self.hub.forward_to(&context).await;
        Ok(())
    }

    async fn on_initialized(&self, context: NotificationContext<RoleServer>) {
        self.hub.session_opened(context.peer);
    }
}
