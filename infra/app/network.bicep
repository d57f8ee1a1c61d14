metadata description = 'A virtual network for the app, with private endpoints for the storage account and the vault.'

param name string
param location string
param tags object

@description('The services of the storage account that the app uses.')
param storageServices array

var storageZones = [for service in storageServices: 'privatelink.${service}.${environment().suffixes.storage}']
var vaultZone = 'privatelink${replace(environment().suffixes.keyvaultDns, 'vault', 'vaultcore')}'

module network 'br/public:avm/res/network/virtual-network:0.10.1' = {
  name: 'virtual-network'
  params: {
    name: name
    location: location
    tags: tags
    addressPrefixes: [ '10.0.0.0/16' ]
    subnets: [
      {
        name: 'endpoints'
        addressPrefix: '10.0.1.0/24'
      }
      {
        name: 'app'
        addressPrefix: '10.0.2.0/24'
        delegation: 'Microsoft.App/environments'
        // Nylas and Dataverse are on the internet; newer networks reach it only if told
        defaultOutboundAccess: true
      }
    ]
  }
}

module storageDns 'br/public:avm/res/network/private-dns-zone:0.8.1' = [for (zone, index) in storageZones: {
  name: 'dns-${storageServices[index]}'
  params: {
    name: zone
    tags: tags
    virtualNetworkLinks: [ { virtualNetworkResourceId: network.outputs.resourceId } ]
  }
}]

module vaultDns 'br/public:avm/res/network/private-dns-zone:0.8.1' = {
  name: 'dns-vault'
  params: {
    name: vaultZone
    tags: tags
    virtualNetworkLinks: [ { virtualNetworkResourceId: network.outputs.resourceId } ]
  }
}

output appSubnetId string = network.outputs.subnetResourceIds[1]
output storageEndpoints array = [for (service, index) in storageServices: {
  service: service
  subnetResourceId: network.outputs.subnetResourceIds[0]
  privateDnsZoneGroup: {
    privateDnsZoneGroupConfigs: [ { privateDnsZoneResourceId: storageDns[index].outputs.resourceId } ]
  }
}]
output vaultEndpoints array = [
  {
    service: 'vault'
    subnetResourceId: network.outputs.subnetResourceIds[0]
    privateDnsZoneGroup: {
      privateDnsZoneGroupConfigs: [ { privateDnsZoneResourceId: vaultDns.outputs.resourceId } ]
    }
  }
]
