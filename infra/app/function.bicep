metadata description = 'The function app: Python on Flex Consumption, with one identity for storage, vault and telemetry.'

param name string
param location string
param tags object
param planId string
param identityId string
param identityClientId string

@description('The storage account\'s endpoints: blob, queue and table, each ending with a slash.')
param storageEndpoints object
param deploymentContainer string

@description('Ends with a slash.')
param vaultUri string
param insightsConnectionString string

@description('Empty for an app outside of any virtual network.')
param subnetId string
param maximumInstanceCount int
param instanceMemoryMB int
param httpConcurrency int
param alwaysReadyInstances int

@description('The settings of this deployment that are no secrets, by name.')
param settings object

var platformSettings = {
  AzureWebJobsStorage__credential: 'managedidentity'
  AzureWebJobsStorage__clientId: identityClientId
  AzureWebJobsStorage__blobServiceUri: storageEndpoints.blob
  AzureWebJobsStorage__queueServiceUri: storageEndpoints.queue
  AzureWebJobsStorage__tableServiceUri: storageEndpoints.table
  APPLICATIONINSIGHTS_CONNECTION_STRING: insightsConnectionString
  APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${identityClientId};Authorization=AAD'
  // the distribution's own spans hold whole URLs, and there is one for each call of storage
  OTEL_PYTHON_DISABLED_INSTRUMENTATIONS: 'azure_sdk,django,fastapi,flask,httpx,httpx2,psycopg2,requests,urllib,urllib3'
  AZURE_CLIENT_ID: identityClientId
  NYLAS_API_KEY: '@Microsoft.KeyVault(SecretUri=${vaultUri}secrets/nylas-api-key)'
  NYLAS_WEBHOOK_SECRET: '@Microsoft.KeyVault(SecretUri=${vaultUri}secrets/nylas-webhook-secret)'
  ERASURE_KEY: '@Microsoft.KeyVault(SecretUri=${vaultUri}secrets/erasure-key)'
}

module site 'br/public:avm/res/web/site:0.24.0' = {
  name: 'site'
  params: {
    name: name
    location: location
    tags: union(tags, { 'azd-service-name': 'app' })
    kind: 'functionapp,linux'
    serverFarmResourceId: planId
    httpsOnly: true
    managedIdentities: { userAssignedResourceIds: [ identityId ] }
    keyVaultAccessIdentityResourceId: identityId
    virtualNetworkSubnetResourceId: empty(subnetId) ? null : subnetId
    siteConfig: { alwaysOn: false }
    functionAppConfig: {
      runtime: {
        name: 'python'
        version: '3.13'
      }
      deployment: {
        storage: {
          type: 'blobContainer'
          value: '${storageEndpoints.blob}${deploymentContainer}'
          authentication: {
            type: 'UserAssignedIdentity'
            userAssignedIdentityResourceId: identityId
          }
        }
      }
      scaleAndConcurrency: {
        maximumInstanceCount: maximumInstanceCount
        instanceMemoryMB: instanceMemoryMB
        alwaysReady: alwaysReadyInstances == 0 ? [] : [
          {
            name: 'http'
            instanceCount: alwaysReadyInstances
          }
        ]
        triggers: { http: { perInstanceConcurrency: httpConcurrency } }
      }
    }
    configs: [
      {
        name: 'appsettings'
        // what stands here is what the app has: a setting that was taken out does not live on
        retainCurrentAppSettings: false
        properties: union(settings, platformSettings)
      }
    ]
  }
}

output name string = site.outputs.name
output webhookUrl string = 'https://${site.outputs.defaultHostname}/api/webhooks/nylas'
