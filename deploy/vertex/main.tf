# What Driftline may do with a Vertex AI endpoint: look at it, and move its traffic split. Nothing else.
#
#   terraform init && terraform apply -var project=... -var namespace=ml
terraform {
  required_version = ">= 1.5"
  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 7.0"
    }
  }
}

variable "project" {
  description = "Project of the endpoint."
  type        = string
}

variable "region" {
  description = "Region of the endpoint."
  type        = string
  default     = "europe-west4"
}

variable "namespace" {
  description = "Kubernetes namespace in which Driftline runs."
  type        = string
  default     = "default"
}

variable "service_account" {
  description = "Kubernetes service account that Driftline runs as."
  type        = string
  default     = "driftline"
}

provider "google" {
  project = var.project
  region  = var.region
}

resource "google_project_iam_custom_role" "traffic" {
  role_id     = "driftlineTraffic"
  title       = "Driftline: move an endpoint's traffic"
  permissions = ["aiplatform.endpoints.get", "aiplatform.endpoints.update"]
}

resource "google_service_account" "driftline" {
  account_id   = "driftline"
  display_name = "Driftline"
}

resource "google_project_iam_member" "traffic" {
  project = var.project
  role    = google_project_iam_custom_role.traffic.id
  member  = google_service_account.driftline.member
}

# Workload identity: pods that run as the service account get the rights, and there is no key file.
resource "google_service_account_iam_member" "pods" {
  service_account_id = google_service_account.driftline.name
  role               = "roles/iam.workloadIdentityUser"
  member             = "serviceAccount:${var.project}.svc.id.goog[${var.namespace}/${var.service_account}]"
}

output "annotation" {
  description = "For the chart: serviceAccount.annotations."
  value       = { "iam.gke.io/gcp-service-account" = google_service_account.driftline.email }
}
