//! Responses about fine-tunes that official SDKs ask for, beside the jobs themselves.

use serde_json::{Value, json};

/// `GET /fine-tunes/models/limits`, which an SDK asks before it creates a job: generous ones, for any model.
pub(super) fn limits() -> Value {
    let batch = json!({"max_batch_size": 1024, "max_batch_size_dpo": 1024, "min_batch_size": 1});
    let mut lora = batch.clone();
    lora["default_rank"] = 8.into();
    lora["max_rank"] = 64.into();
    lora["target_modules"] = json!(["q_proj", "k_proj", "v_proj", "o_proj"]);
    json!({
        "model_name": "standin/chat",
        "default_gradient_accumulation_steps": 1,
        "full_training": batch,
        "lora_training": lora,
        "max_learning_rate": 1.0,
        "min_learning_rate": 0.0,
        "max_num_checkpoints": 100,
        "max_num_epochs": 100,
        "max_num_evals": 100,
        "max_seq_length_dpo": 32_768,
        "max_seq_length_sft": 32_768,
        "min_max_seq_length": 1,
        "merge_output_lora": true,
        "supports_full_training": true,
        "supports_reasoning": false,
        "supports_tools": true,
        "supports_vision": false,
    })
}

/// `POST /fine-tunes/estimate-price`: nothing costs anything here.
pub(super) fn price() -> Value {
    json!({
        "estimation_available": true,
        "allowed_to_proceed": true,
        "estimated_eval_token_count": 0,
        "estimated_total_price": 0,
        "estimated_train_token_count": 0,
        "user_limit": 1000,
    })
}

/// A list without anything in it: a job's events, and its checkpoints.
pub(super) fn none() -> Value {
    json!({"data": []})
}
