/* A Vulkan layer that says of every device that it has no buffer device addresses.
 *
 * burn compiles kernels to SPIR-V where a device has them, and to WGSL where it does not. Drivers that compute on the
 * processor have them, but cubecl-spirv 0.11.3 declares shared memory as a pointer to a pointer for drivers without
 * VK_KHR_workgroup_memory_explicit_layout (`lower_shared_implicit` swaps two types): SwiftShader then computes nonsense,
 * lavapipe ends in a segmentation fault. With this layer they take the WGSL that other devices without addresses take. */
#include <string.h>
#include <vulkan/vulkan.h>
#include <vulkan/vk_layer.h>

static PFN_vkGetInstanceProcAddr next_address;
static PFN_vkGetPhysicalDeviceFeatures2 next_features;

static VKAPI_ATTR void VKAPI_CALL features(VkPhysicalDevice device, VkPhysicalDeviceFeatures2 *found) {
    next_features(device, found);
    for (VkBaseOutStructure *part = found->pNext; part; part = part->pNext) {
        if (part->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_BUFFER_DEVICE_ADDRESS_FEATURES)
            ((VkPhysicalDeviceBufferDeviceAddressFeatures *)part)->bufferDeviceAddress = VK_FALSE;
        if (part->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES)
            ((VkPhysicalDeviceVulkan12Features *)part)->bufferDeviceAddress = VK_FALSE;
    }
}

static VKAPI_ATTR VkResult VKAPI_CALL create(const VkInstanceCreateInfo *wanted, const VkAllocationCallbacks *allocator,
                                             VkInstance *instance) {
    VkLayerInstanceCreateInfo *link = (VkLayerInstanceCreateInfo *)wanted->pNext;
    while (link && !(link->sType == VK_STRUCTURE_TYPE_LOADER_INSTANCE_CREATE_INFO && link->function == VK_LAYER_LINK_INFO))
        link = (VkLayerInstanceCreateInfo *)link->pNext;
    if (!link)
        return VK_ERROR_INITIALIZATION_FAILED;
    next_address = link->u.pLayerInfo->pfnNextGetInstanceProcAddr;
    link->u.pLayerInfo = link->u.pLayerInfo->pNext;
    VkResult result = ((PFN_vkCreateInstance)next_address(NULL, "vkCreateInstance"))(wanted, allocator, instance);
    /* Asked now: once the instance is complete, the loader answers with this layer's own function. */
    if (result == VK_SUCCESS)
        next_features =
            (PFN_vkGetPhysicalDeviceFeatures2)next_address(*instance, "vkGetPhysicalDeviceFeatures2");
    return result;
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL address(VkInstance instance, const char *name) {
    if (!strcmp(name, "vkGetInstanceProcAddr"))
        return (PFN_vkVoidFunction)address;
    if (!strcmp(name, "vkCreateInstance"))
        return (PFN_vkVoidFunction)create;
    if (!strcmp(name, "vkGetPhysicalDeviceFeatures2") || !strcmp(name, "vkGetPhysicalDeviceFeatures2KHR"))
        return (PFN_vkVoidFunction)features;
    return next_address ? next_address(instance, name) : NULL;
}

VKAPI_ATTR VkResult VKAPI_CALL vkNegotiateLoaderLayerInterfaceVersion(VkNegotiateLayerInterface *version) {
    version->loaderLayerInterfaceVersion = 2;
    version->pfnGetInstanceProcAddr = address;
    version->pfnGetDeviceProcAddr = NULL;
    version->pfnGetPhysicalDeviceProcAddr = NULL;
    return VK_SUCCESS;
}
