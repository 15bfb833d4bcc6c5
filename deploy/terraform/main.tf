# Traffic that Terraform moves: a load balancer whose weights follow one variable. A rollback is a run with another value of
# it, started by a person or over HCP Terraform's API; plan and apply take their time, so this is for a load balancer that
# nothing else may change. Driftline's own gateway moves traffic within a second.
#
#   terraform apply -var active_version=v1 ...
terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.0"
    }
  }
}

variable "active_version" {
  description = "The version that answers clients."
  type        = string
  default     = "v2"
  validation {
    condition     = contains(["v1", "v2"], var.active_version)
    error_message = "There are v1 and v2."
  }
}

variable "vpc_id" {
  description = "VPC of the models."
  type        = string
}

variable "listener_arn" {
  description = "Listener of the load balancer that clients come to."
  type        = string
}

variable "path" {
  description = "Path of the model's requests."
  type        = string
  default     = "/v2/models/fraud/*"
}

locals {
  versions = toset(["v1", "v2"])
}

resource "aws_lb_target_group" "model" {
  for_each    = local.versions
  name        = "fraud-${each.key}"
  port        = 8080
  protocol    = "HTTP"
  target_type = "ip"
  vpc_id      = var.vpc_id
  health_check {
    path     = "/v2/health/ready"
    interval = 10
  }
}

resource "aws_lb_listener_rule" "model" {
  listener_arn = var.listener_arn
  action {
    type = "forward"
    forward {
      dynamic "target_group" {
        for_each = local.versions
        content {
          arn    = aws_lb_target_group.model[target_group.key].arn
          weight = target_group.key == var.active_version ? 100 : 0
        }
      }
    }
  }
  condition {
    path_pattern {
      values = [var.path]
    }
  }
}

output "active_version" {
  value = var.active_version
}
