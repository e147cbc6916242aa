// Made from the declared tables by types.mjs; not edited by hand.
export type Json = any

export interface Profiles {
  id: string
  username: string | null
  subscription_status: string | null
  token_balance: number | null
  created_at: string | null
  updated_at: string | null
  age_verified: boolean | null
  birth_date: string | null
  age_verification_date: string | null
  default_user_character_id: string | null
}

export interface UserRoles {
  id: string
  user_id: string
  role: string
  created_at: string | null
}

export interface UserCollections {
  id: string
  user_id: string
  name: string
  description: string | null
  asset_count: number | null
  created_at: string | null
}

export interface UserLibrary {
  id: string
  user_id: string
  asset_type: string
  storage_path: string
  file_size_bytes: number
  mime_type: string
  duration_seconds: number | null
  original_prompt: string
  model_used: string
  generation_seed: number | null
  collection_id: string | null
  custom_title: string | null
  tags: string[] | null
  is_favorite: boolean | null
  visibility: string | null
  created_at: string | null
  updated_at: string | null
  thumbnail_path: string | null
  width: number | null
  height: number | null
  content_category: string | null
  roleplay_metadata: Json | null
  character_id: string | null
  output_type: string | null
  is_primary: boolean
  is_pinned: boolean
  sort_order: number
  generation_metadata: Json
  label: string | null
}

export interface WorkspaceAssets {
  id: string
  user_id: string
  asset_type: string
  temp_storage_path: string
  file_size_bytes: number
  mime_type: string
  duration_seconds: number | null
  job_id: string
  asset_index: number
  generation_seed: number
  original_prompt: string
  model_used: string
  generation_settings: Json | null
  created_at: string | null
  expires_at: string | null
  thumbnail_path: string | null
  width: number | null
  height: number | null
}

export interface Jobs {
  id: string
  video_id: string | null
  user_id: string
  job_type: string
  status: string | null
  error_message: string | null
  attempts: number | null
  max_attempts: number | null
  metadata: Json | null
  created_at: string | null
  started_at: string | null
  completed_at: string | null
  project_id: string | null
  image_id: string | null
  format: string | null
  quality: string | null
  model_type: string | null
  prompt_test_id: string | null
  test_metadata: Json | null
  moderation_status: string | null
  reviewed_at: string | null
  reviewed_by: string | null
  review_notes: string | null
  enhancement_strategy: string | null
  original_prompt: string | null
  enhanced_prompt: string | null
  enhancement_time_ms: number | null
  quality_rating: number | null
  quality_improvement: number | null
  compel_weights: Json | null
  qwen_expansion_percentage: number | null
  destination: string | null
  workspace_session_id: string | null
  template_name: string | null
  api_model_id: string | null
}

export interface Characters {
  id: string
  user_id: string | null
  name: string
  description: string | null
  traits: string | null
  appearance_tags: string[] | null
  image_url: string | null
  created_at: string | null
  updated_at: string | null
  persona: string | null
  system_prompt: string | null
  voice_tone: string | null
  mood: string | null
  creator_id: string | null
  likes_count: number | null
  interaction_count: number | null
  reference_image_url: string | null
  is_public: boolean | null
  gender: string | null
  content_rating: string
  role: string | null
  consistency_method: string | null
  seed_locked: number | null
  base_prompt: string | null
  preview_image_url: string | null
  quick_start: boolean | null
  voice_examples: string[] | null
  scene_behavior_rules: Json | null
  forbidden_phrases: string[] | null
  project_id: string | null
  canonical_code: string | null
  story_role: string | null
  age_range: string | null
  appearance: Json | null
  hair_description: string | null
  base_outfit: string | null
  identity_line: string | null
  display_name: string | null
  is_library_saved: boolean
  approved: boolean
  generation_prompt: string | null
  default_image_style_id: string | null
  alternate_greetings: Json | null
  avoid_traits: string[] | null
  backstory: string | null
  bio: string | null
  canon_spec: string | null
  clothing_tags: string[] | null
  default_presets: Json | null
  first_message: string | null
  lighting: string | null
  locked_traits: string[] | null
  media_defaults: Json | null
  outfit_defaults: string | null
  personality_traits: Json | null
  physical_traits: Json | null
  portrait_count: number | null
  rendering_rules: Json | null
  scene_count: number | null
  signature_items: string | null
  style_preset: string | null
  tagline: string | null
}

export interface CharacterScenes {
  id: string
  character_id: string | null
  conversation_id: string | null
  image_url: string | null
  scene_prompt: string
  generation_metadata: Json | null
  job_id: string | null
  created_at: string | null
  updated_at: string | null
  system_prompt: string | null
  generation_mode: string | null
  previous_scene_id: string | null
  previous_scene_image_url: string | null
  priority: number | null
  scene_name: string | null
  scene_description: string | null
  scene_rules: string | null
  scene_starters: string[] | null
  scene_type: string | null
}

export interface Conversations {
  id: string
  user_id: string
  project_id: string | null
  title: string
  conversation_type: string
  status: string
  created_at: string
  updated_at: string
  character_id: string | null
  user_character_id: string | null
  memory_tier: string | null
  memory_data: Json | null
  current_location: string | null
  last_scene_image: string | null
}

export interface Messages {
  id: string
  conversation_id: string
  sender: string
  content: string
  message_type: string
  created_at: string
}

export interface EnhancementPresets {
  id: string
  preset_name: string
  preset_description: string | null
  enable_qwen: boolean
  enable_compel: boolean
  auto_enhancement: boolean
  compel_weights: Json | null
  qwen_settings: Json | null
  usage_count: number | null
  avg_quality_with_preset: number | null
  is_recommended: boolean | null
  created_at: string | null
  created_by: string | null
}

export interface NegativePrompts {
  id: string
  model_type: string
  content_mode: string
  negative_prompt: string
  is_active: boolean | null
  priority: number | null
  created_at: string | null
  updated_at: string | null
  created_by: string | null
  description: string | null
  generation_mode: string | null
}

export interface PromptAbTests {
  id: string
  test_name: string
  test_series: string
  baseline_config: Json
  enhanced_config: Json
  total_participants: number | null
  baseline_avg_quality: number | null
  enhanced_avg_quality: number | null
  quality_improvement: number | null
  confidence_level: number | null
  is_complete: boolean | null
  created_at: string | null
  completed_at: string | null
}

export interface PromptTemplates {
  id: string
  enhancer_model: string
  use_case: string
  content_mode: string
  template_name: string
  system_prompt: string
  token_limit: number | null
  is_active: boolean | null
  created_at: string | null
  updated_at: string | null
  created_by: string | null
  version: number | null
  metadata: Json | null
  job_type: string | null
  target_model: string | null
  description: string | null
  comment: string | null
  provider: string | null
}

export interface UsageLogs {
  id: string
  user_id: string
  action: string
  credits_consumed: number | null
  metadata: Json | null
  created_at: string | null
  format: string | null
  quality: string | null
}

export interface ApiProviders {
  id: string
  created_at: string
  updated_at: string
  name: string
  display_name: string
  base_url: string | null
  docs_url: string | null
  auth_scheme: string
  auth_header_name: string | null
  secret_name: string | null
  rate_limits: Json
  is_active: boolean
}

export interface ApiModels {
  id: string
  created_at: string
  updated_at: string
  created_by: string | null
  provider_id: string
  model_key: string
  version: string | null
  display_name: string
  modality: string
  task: string | null
  model_family: string | null
  endpoint_path: string | null
  input_defaults: Json
  capabilities: Json
  pricing: Json
  output_format: string | null
  is_active: boolean
  is_default: boolean
  priority: number
  tasks: string[]
  default_for_tasks: string[]
  avg_generation_time: number | null
  cost_per_use: number | null
}

export interface Stories {
  id: string
  project_id: string
  title: string
  default_image_style: string
  generation_status: string
  generation_error: string | null
  progress: Json | null
  progress_updated_at: string | null
  created_at: string
  updated_at: string
  created_by: string | null
  updated_by: string | null
}

export interface Exports {
  id: string
  scene_id: string | null
  episode_id: string | null
  status: string
  output_url: string | null
  metadata_: Json
  created_at: string
}

export interface AuditLogs {
  id: string
  entity_type: string
  entity_id: string
  action: string
  request_id: string | null
  old_value: Json | null
  new_value: Json | null
  timestamp: string
  user_id: string | null
}

export interface Books {
  id: string
  user_id: string
  title: string
  author_name: string | null
  description: string | null
  cover_image_url: string | null
  book_type: string
  project_id: string | null
  status: string
  total_chapters: number
  language: string
  tags: string[] | null
  created_at: string
  updated_at: string
}

export interface Chapters {
  id: string
  book_id: string
  title: string
  content: string
  chapter_number: number | null
  content_type: string
  order_index: number | null
  summary: string | null
  duration: number | null
  created_at: string
  updated_at: string
}

export interface Scripts {
  id: string
  chapter_id: string
  user_id: string
  script_style: string
  script_name: string | null
  script: string
  video_style: string | null
  version: number | null
  status: string | null
  evaluation_score: number | null
  evaluation_feedback: string | null
  character_ids: string[] | null
  characters: Json | null
  scene_descriptions: Json | null
  evaluation: Json | null
  created_at: string
  updated_at: string
}

export interface CharacterPortraits {
  id: string
  character_id: string
  created_at: string | null
  enhanced_prompt: string | null
  generation_metadata: Json | null
  image_url: string
  is_primary: boolean | null
  prompt: string | null
  sort_order: number | null
  tags: string[] | null
  thumbnail_url: string | null
  updated_at: string | null
}

export interface ApiProviderBalances {
  id: string
  balance_credits: number | null
  balance_metadata: Json | null
  balance_usd: number | null
  currency: string | null
  last_synced_at: string | null
  provider_id: string
  sync_error: string | null
  sync_method: string | null
  sync_status: string | null
  updated_at: string
}

export interface MotionPresets {
  id: string
  category: string | null
  created_at: string | null
  description: string | null
  duration_seconds: number | null
  is_active: boolean | null
  is_builtin: boolean
  name: string
  thumbnail_url: string | null
  updated_at: string | null
  user_id: string | null
  video_url: string
}

export interface StoryboardProjects {
  id: string
  ai_assistance_level: string | null
  ai_story_plan: Json | null
  aspect_ratio: string | null
  content_mode: string | null
  content_tier: string | null
  created_at: string | null
  description: string | null
  final_video_duration_seconds: number | null
  final_video_url: string | null
  metadata: Json | null
  primary_character_id: string | null
  quality_preset: string | null
  secondary_characters: Json | null
  source_conversation_id: string | null
  status: string | null
  story_beats: Json | null
  story_summary: string | null
  target_duration_seconds: number | null
  title: string
  updated_at: string | null
  user_id: string
}

export interface StoryboardScenes {
  id: string
  actual_duration_seconds: number | null
  ai_suggestions: Json | null
  characters: Json | null
  created_at: string | null
  description: string | null
  metadata: Json | null
  mood: string | null
  motion_style: string | null
  narrative_context: string | null
  project_id: string
  scene_order: number
  setting: string | null
  status: string | null
  suggested_prompts: Json | null
  target_duration_seconds: number | null
  title: string | null
  updated_at: string | null
}

export interface StoryboardClips {
  id: string
  api_model_id: string | null
  clip_order: number
  clip_type: string | null
  created_at: string | null
  duration_seconds: number | null
  end_frame_url: string | null
  enhanced_prompt: string | null
  extracted_frame_url: string | null
  extraction_percentage: number | null
  extraction_timestamp_ms: number | null
  generation_config: Json | null
  generation_metadata: Json | null
  job_id: string | null
  model_used: string | null
  motion_preset_id: string | null
  parent_clip_id: string | null
  prompt: string
  prompt_template_id: string | null
  reference_image_source: string | null
  reference_image_url: string | null
  resolved_model_id: string | null
  scene_id: string
  status: string | null
  thumbnail_url: string | null
  updated_at: string | null
  video_url: string | null
}

export interface StoryboardRenders {
  id: string
  completed_at: string | null
  created_at: string | null
  error_message: string | null
  file_size_bytes: number | null
  include_transitions: boolean | null
  output_duration_seconds: number | null
  output_url: string | null
  progress_percentage: number | null
  project_id: string
  render_quality: string | null
  started_at: string | null
  status: string | null
  transition_style: string | null
}
