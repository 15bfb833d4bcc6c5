# The edge marks a share of the requests; the origin (Driftline's gateway) copies what is marked.
#
#   terraform init && terraform apply -var origin=models.example.com
#
# A header that the edge adds reaches the origin only when the origin request policy sends it on, and it must not be part of
# the cache key, or the cache would split in two.
terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.0"
    }
  }
}

provider "aws" {
  region = "us-east-1"
}

variable "origin" {
  description = "Host name of Driftline's gateway, HTTPS."
  type        = string
}

resource "aws_cloudfront_function" "mark" {
  name    = "driftline-mark"
  runtime = "cloudfront-js-2.0"
  comment = "Marks a share of the requests x-shadow: true"
  publish = true
  code    = file("${path.module}/cloudfront-function.js")
}

data "aws_cloudfront_cache_policy" "none" {
  name = "Managed-CachingDisabled"
}

# Everything the client sent, and the mark with it.
data "aws_cloudfront_origin_request_policy" "all" {
  name = "Managed-AllViewerExceptHostHeader"
}

resource "aws_cloudfront_distribution" "models" {
  enabled = true
  comment = "Models behind Driftline"

  origin {
    origin_id   = "driftline"
    domain_name = var.origin
    custom_origin_config {
      http_port              = 80
      https_port             = 443
      origin_protocol_policy = "https-only"
      origin_ssl_protocols   = ["TLSv1.2"]
    }
  }

  default_cache_behavior {
    target_origin_id         = "driftline"
    viewer_protocol_policy   = "https-only"
    allowed_methods          = ["GET", "HEAD", "OPTIONS", "PUT", "POST", "PATCH", "DELETE"]
    cached_methods           = ["GET", "HEAD"]
    cache_policy_id          = data.aws_cloudfront_cache_policy.none.id
    origin_request_policy_id = data.aws_cloudfront_origin_request_policy.all.id

    function_association {
      event_type   = "viewer-request"
      function_arn = aws_cloudfront_function.mark.arn
    }
  }

  restrictions {
    geo_restriction {
      restriction_type = "none"
    }
  }

  viewer_certificate {
    cloudfront_default_certificate = true
  }
}

output "address" {
  value = "https://${aws_cloudfront_distribution.models.domain_name}"
}
