# A SageMaker endpoint with two variants whose requests and answers are captured, and what Driftline may do with it: read
# the captured files, and move the variants' weights.
#
#   terraform init && terraform apply -var image=... -var model_v1=s3://... -var model_v2=s3://... -var bucket=... -var execution_role=...
terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.0"
    }
  }
}

variable "name" {
  description = "Name of the endpoint and of what belongs to it."
  type        = string
  default     = "fraud"
}

variable "image" {
  description = "Container image of the model server."
  type        = string
}

variable "model_v1" {
  description = "The stable model's archive, s3://."
  type        = string
}

variable "model_v2" {
  description = "The new model's archive, s3://."
  type        = string
}

variable "bucket" {
  description = "Bucket for captured requests and answers."
  type        = string
}

variable "execution_role" {
  description = "ARN of the role that SageMaker runs the models with."
  type        = string
}

locals {
  models = {
    v1 = { archive = var.model_v1, weight = 0 }
    v2 = { archive = var.model_v2, weight = 1 }
  }
}

resource "aws_sagemaker_model" "this" {
  for_each           = local.models
  name               = "${var.name}-${each.key}"
  execution_role_arn = var.execution_role
  primary_container {
    image          = var.image
    model_data_url = each.value.archive
  }
}

resource "aws_sagemaker_endpoint_configuration" "this" {
  name_prefix = "${var.name}-"

  # A variant with the weight 0 stays warm: a rollback needs no new instance.
  dynamic "production_variants" {
    for_each = local.models
    content {
      variant_name           = production_variants.key
      model_name             = aws_sagemaker_model.this[production_variants.key].name
      initial_instance_count = 1
      instance_type          = "ml.m5.large"
      initial_variant_weight = production_variants.value.weight
    }
  }

  data_capture_config {
    enable_capture              = true
    initial_sampling_percentage = 100
    destination_s3_uri          = "s3://${var.bucket}/capture"
    capture_options {
      capture_mode = "Input"
    }
    capture_options {
      capture_mode = "Output"
    }
    # Without these the bodies are stored as base64.
    capture_content_type_header {
      csv_content_types  = ["text/csv"]
      json_content_types = ["application/json", "application/jsonlines"]
    }
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_sagemaker_endpoint" "this" {
  name                 = var.name
  endpoint_config_name = aws_sagemaker_endpoint_configuration.this.name
}

# Attach it to the role that Driftline runs with.
resource "aws_iam_policy" "driftline" {
  name   = "driftline-${var.name}"
  policy = data.aws_iam_policy_document.driftline.json
}

data "aws_iam_policy_document" "driftline" {
  statement {
    sid       = "MoveTheTraffic"
    actions   = ["sagemaker:DescribeEndpoint", "sagemaker:UpdateEndpointWeightsAndCapacities"]
    resources = [aws_sagemaker_endpoint.this.arn]
  }
  statement {
    sid       = "ReadWhatWasCaptured"
    actions   = ["s3:GetObject"]
    resources = ["arn:aws:s3:::${var.bucket}/capture/*"]
  }
  statement {
    sid       = "FindWhatWasCaptured"
    actions   = ["s3:ListBucket"]
    resources = ["arn:aws:s3:::${var.bucket}"]
    condition {
      test     = "StringLike"
      variable = "s3:prefix"
      values   = ["capture/*"]
    }
  }
  statement {
    sid       = "StartTheTraining"
    actions   = ["sagemaker:StartPipelineExecution"]
    resources = ["arn:aws:sagemaker:*:*:pipeline/${var.name}-*"]
  }
  statement {
    sid       = "CurrentModel"
    actions   = ["ssm:GetParameter", "ssm:PutParameter"]
    resources = ["arn:aws:ssm:*:*:parameter/model/*"]
  }
}

output "policy" {
  value = aws_iam_policy.driftline.arn
}
